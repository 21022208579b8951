"""`batchgen models`: a table that fits, all of one model, and the page that is made of them."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from batchgen import load_job, plan_job
from batchgen.cli import main
from batchgen.models import MODELS

PAGE = Path(__file__).parents[2] / "docs/models.md"
OUTPAINT = "us.stability.stable-outpaint-v1:0"


def said(capsys, *words):
    """What the command prints."""
    assert main(["models", *words]) == 0
    return capsys.readouterr().out


def test_the_page_is_what_the_command_writes(capsys):
    """After a change: `.venv/bin/batchgen models --markdown > docs/models.md`."""
    assert PAGE.read_text("utf-8") == said(capsys, "--markdown")


def test_a_part_of_an_id_names_those_that_have_it(capsys):
    """It is no model by itself; the complaint lists what may have been meant."""
    assert main(["models", "Outpaint"]) == 2
    assert f"These are like it: {OUTPAINT}." in capsys.readouterr().err


def test_the_prices_are_the_users(capsys, tmp_path, monkeypatch):
    """In the table and of one; the page of the documentation has the list's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    (tmp_path / "batchgen").mkdir()
    (tmp_path / "batchgen/prices.yaml").write_text(f"{OUTPAINT}: 0.075\n")
    assert "0.075 USD" in said(capsys, OUTPAINT)
    assert "0.075" in said(capsys)
    assert PAGE.read_text("utf-8") == said(capsys, "--markdown")


def test_all_of_one_model_is_told(capsys):
    """Each parameter with type, limits and default; price, quota, Regions, life cycle, example."""
    text = said(capsys, OUTPAINT)

    assert max(map(len, text.splitlines())) <= 80
    for words in (
        "0.060 USD",
        "2 calls a minute",
        "us-east-1, us-east-2, us-west-2",
        "active",
        "left           whole number; 0 to 2,000; default 0",
        "creativity     number; 0.1 to 1; default 0.5",
        "a shape from 1:2.5 to 2.5:1; jpeg, png, webp; required",
    ):
        assert words in text
    assert said(capsys, "stable image outpaint") == text


def test_the_same_for_programs(capsys):
    """One object; a model that takes no seed has no largest one."""
    outpaint = json.loads(said(capsys, OUTPAINT, "--json"))
    assert outpaint["parameters"]["up"] == {
        "type": "whole number",
        "limits": "0 to 2,000",
        "default": 0,
        "required": False,
    }
    upscale = json.loads(said(capsys, "us.stability.stable-fast-upscale-v1:0", "--json"))
    assert (upscale["seed_max"], upscale["parameters"].keys()) == (
        None,
        {"image", "output_format"},
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stability.stable-image-core", 'did you mean "stability.stable-image-core-v1:'),
        ("stability.stable-outpaint-v1:0", f"name {OUTPAINT}"),
        ("\x1b[31m", "\\x1b[31m"),
    ],
)
def test_an_unknown_model_is_a_sentence(capsys, name, words):
    """With the nearest name, and exit code 2."""
    assert main(["models", name]) == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS.keys())
def test_each_example_is_an_item_that_the_model_takes(tmp_path, capsys, model):
    """As it stands, once the photographs are there."""
    file = io.BytesIO()
    Image.new("RGB", (1024, 1024)).save(file, "PNG")
    (tmp_path / "photos").mkdir()
    for name in ("lamp", "style"):
        (tmp_path / f"photos/{name}.png").write_bytes(file.getvalue())
    example = json.loads(said(capsys, model.id, "--json"))["example"]
    job = tmp_path / "job.yaml"
    job.write_text(f"name: lamps\nendpoint: simulator\nregion: us-west-2\nitems:\n{example}\n")

    (task,) = plan_job(load_job(job))

    assert task.model_id == model.id
    assert task.price_usd == model.price_usd
