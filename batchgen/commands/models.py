"""`batchgen models`: what can be called, where, at what price and quota, with what parameters."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

import click

from batchgen.commands.prices import prices_of_user
from batchgen.commands.streams import result
from batchgen.models import FAMILIES, MODELS, Model, Parameter, UnknownModel, find

HEADINGS: tuple[str, ...] = ("MODEL", "USD", "RPM", "STATE", "REGIONS")
"""They fit 80 columns; `batchgen models ID` and `--json` have the rest."""
WIDTH = 80


@click.command(name="models")
@click.argument("model_id", metavar="[ID]", required=False)
@click.option("--json", "as_json", is_flag=True, help="One JSON value on standard output.")
@click.option("--markdown", is_flag=True, help="All of each model, as the page docs/models.md.")
def command(model_id: str | None, *, as_json: bool, markdown: bool) -> int:
    """List the models, or tell all of one: parameters, limits, price, quota, Regions.

    USD is the price of an image, RPM the quota in calls a minute. The figures are defaults of
    November 2026; `~/.config/batchgen/prices.yaml` and `prices` in a job override prices, and
    `limits.requests_per_minute` a quota.
    """
    if markdown:
        result(page())
        return 0
    own = prices_of_user(None)
    if model_id is not None:
        model = _priced(_found(model_id), own)
        result(json.dumps(_fields(model), indent=2) if as_json else "\n".join(_told(model)))
        return 0
    models = [_priced(model, own) for model in MODELS.values()]
    if as_json:
        result(json.dumps([_fields(model) for model in models], indent=2))
        return 0
    for line in _aligned([HEADINGS, *map(_row, models)]):
        result(line)
    return 0


def _priced(model: Model, own: Mapping[str, Decimal]) -> Model:
    """The model at its user's price, if there is one."""
    return replace(model, price_usd=own[model.id]) if model.id in own else model


def _found(model_id: str) -> Model:
    """The model of this id, or of this title.

    Raises:
        UsageError: there is none.
    """
    wanted = model_id.casefold()
    for model in MODELS.values():
        if wanted == model.title.casefold():
            return model
    try:
        return find(model_id, advice="`batchgen models` lists all")
    except UnknownModel as error:
        within = [each.id for each in MODELS.values() if wanted and wanted in each.id]
        alike = f" These are like it: {', '.join(within)}." if within else ""
        raise click.UsageError(f"{error}.{alike}") from None


def _aligned(rows: Sequence[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield "  ".join(cells).rstrip()


def _row(model: Model) -> tuple[str, ...]:
    return (
        model.id,
        _price(model),
        "?" if model.requests_per_minute is None else f"{model.requests_per_minute}",
        str(model.life_cycle),
        f"{len(model.regions)} Regions"
        if len(model.regions) > 1
        else "".join(model.regions) or "-",
    )


def _price(model: Model) -> str:
    return "?" if model.price_usd is None else f"{model.price_usd:.3f}"


def _told(model: Model) -> Iterator[str]:
    """All of one model, for a terminal."""
    yield f"{model.title} ({model.id})"
    yield ""
    yield from _aligned([(name, text) for name, text in _facts(model)])
    yield ""
    rows = list(_parameters(model))
    width = max(len(name) for name, _ in rows) + 2
    for name, what in rows:
        yield from textwrap.wrap(
            f"{name.ljust(width)}{what}",
            WIDTH,
            subsequent_indent=" " * width,
            break_on_hyphens=False,
        )
    yield ""
    yield "An item of a job:"
    yield ""
    yield from _example(model)


def _facts(model: Model) -> Iterator[tuple[str, str]]:
    quota = model.requests_per_minute
    yield "price", "not known" if model.price_usd is None else f"{_price(model)} USD an image"
    yield "quota", "not known" if quota is None else f"{quota} calls a minute, by default"
    yield "Regions", ", ".join(model.regions) or "not known"
    ended = f", ended {model.end_of_life}" if model.end_of_life else ""
    yield "life cycle", f"{model.life_cycle}{ended}"
    yield "called by", "its inference profile alone" if model.by_profile else "its id"
    yield "answers in", ", ".join(model.output_formats)
    yield "seed", f"1 to {model.seed_max:,}" if model.takes_seed else "takes none: one variant"


def _parameters(model: Model) -> Iterator[tuple[str, str]]:
    """Name and description; those that a job must give first, and the item's own keys above all."""
    if model.prompt is not None:
        yield "prompt", _described(model.prompt)
    named = sorted(model.parameters.items(), key=lambda each: not each[1].required)
    for name, parameter in named:
        yield name, _described(parameter)


def _described(parameter: Parameter) -> str:
    default = f"default {parameter.default}" if parameter.default is not None else ""
    need = "required" if parameter.required else default
    return "; ".join(text for text in (parameter.kind, parameter.limits, need) if text)


def _example(model: Model) -> Iterator[str]:
    """An item that the model takes, in YAML."""
    yield "- id: lamp"
    yield f"  model: {model.id}"
    if model.prompt is not None and model.prompt.required:
        yield '  prompt: "a brass desk lamp on a walnut table"'
    given = {
        name: _sample(name) for name, parameter in model.parameters.items() if parameter.required
    }
    given |= {"left": "200", "right": "200"} if "left" in model.parameters else {}
    if given:
        yield "  parameters:"
        yield from (f"    {name}: {value}" for name, value in given.items())


def _sample(name: str) -> str:
    samples = {"style_image": "photos/style.png", "search_prompt": '"the lamp shade"'}
    return samples.get(name, '"the lamp shade"' if name.endswith("prompt") else "photos/lamp.png")


def page() -> str:
    """The page docs/models.md."""
    lines = [
        "# Models",
        "",
        "Written by `batchgen models --markdown`; a test holds that this page is what it writes.",
        "Facts of November 2026, from AWS's pages and public price lists; a job overrides them by",
        "`prices` and `limits.requests_per_minute`. `batchgen models ID` tells the same of one",
        "model, `--json` for programs. An image is the path of a file, from the job file on.",
        "",
        "| model | USD | calls a minute | state | Regions |",
        "|---|---|---|---|---|",
    ]
    for model in MODELS.values():
        cells = (f"[{model.title}](#{_anchor(model)})", *_row(model)[1:4], ", ".join(model.regions))
        lines.append(f"| {' | '.join(cells)} |")
    for family in FAMILIES:
        for model in MODELS.values():
            if model.family == family:
                lines += ["", *_section(model)]
    return "\n".join(lines)


def _anchor(model: Model) -> str:
    return _heading(model).lower().replace(" ", "-").replace(".", "").replace(":", "")


def _heading(model: Model) -> str:
    alike = [each for each in MODELS.values() if each.title == model.title]
    return model.title if alike[0] is model else f"{model.title} as {model.id}"


def _section(model: Model) -> Iterator[str]:
    yield f"## {_heading(model)}"
    yield ""
    yield f"`{model.id}`"
    yield ""
    for name, text in _facts(model):
        yield f"- {name}: {text}"
    yield ""
    yield "| parameter | type, limits, default |"
    yield "|---|---|"
    for name, what in _parameters(model):
        yield f"| `{name}` | {what} |"
    yield ""
    yield "```yaml"
    yield from _example(model)
    yield "```"


def _fields(model: Model) -> dict[str, object]:
    parameters = {} if model.prompt is None else {"prompt": model.prompt}
    parameters |= model.parameters
    return {
        "id": model.id,
        "family": model.family,
        "title": model.title,
        "price_usd": None if model.price_usd is None else float(model.price_usd),
        "requests_per_minute": model.requests_per_minute,
        "regions": list(model.regions),
        "life_cycle": str(model.life_cycle),
        "end_of_life": None if model.end_of_life is None else model.end_of_life.isoformat(),
        "seed_max": model.seed_max if model.takes_seed else None,
        "by_profile": model.by_profile,
        "output_formats": list(model.output_formats),
        "parameters": {
            name: {
                "type": parameter.kind,
                "limits": parameter.limits,
                "default": parameter.default,
                "required": parameter.required,
            }
            for name, parameter in parameters.items()
        },
        "example": "\n".join(_example(model)),
    }
