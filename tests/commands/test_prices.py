"""A user's file of prices: over the list, below the job's own, alike for every command."""

import json

import pytest

from batchgen import cli

CORE = "stability.stable-image-core-v1:1"
ULTRA = "stability.stable-image-ultra-v1:1"
JOB = f"""\
name: shop
endpoint: simulator
simulator: {{latency: 0.01}}
output: out
items:
- {{id: mug, prompt: a mug, model: '{CORE}'}}
- {{id: lamp, prompt: a lamp, model: '{ULTRA}'}}
"""


class Shop:
    """A job of two models, and where its user keeps prices."""

    def __init__(self, folder, capsys):
        self.folder = folder
        self._capsys = capsys
        self.prices = folder / "settings/batchgen/prices.yaml"
        self.prices.parent.mkdir(parents=True)
        (folder / "job.yaml").write_text(JOB, "utf-8")

    def __call__(self, *command):
        """What a command prints for programs."""
        code = cli.main([*command, "--json"])
        said = self._capsys.readouterr()
        assert code in (0, 3), said.err
        return json.loads(said.out)

    def refused(self, *command):
        """What a command complains of."""
        assert cli.main(list(command)) == 2
        said = self._capsys.readouterr()
        assert said.out == ""
        return said.err


@pytest.fixture
def shop(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    return Shop(tmp_path, capsys)


def test_the_job_counts_over_the_file_and_the_file_over_the_list(shop, capsys):
    """A line for each model, or the block of a job; `--prices` names another file."""
    plan = ("plan", "job.yaml")
    assert shop(*plan)["cost_usd"] == 0.18
    shop.prices.write_text(f"# ours\n{CORE}: 0.0355\n{ULTRA}: 0.2\n", "utf-8")
    assert shop(*plan)["cost_usd"] == 0.2355
    assert cli.main(list(plan)) == 0
    page = capsys.readouterr().out
    assert "2 to make for 0.2355 USD" in page
    assert f"Prices: {shop.prices}, over the list." in page
    other = shop.folder / "other.yaml"
    other.write_text(f"prices:\n  {ULTRA}: 1\n", "utf-8")
    assert shop(*plan, "--prices=other.yaml")["cost_usd"] == 1.04
    with (shop.folder / "job.yaml").open("a") as file:
        file.write(f"prices: {{'{ULTRA}': 0.5}}\n")
    assert shop(*plan)["cost_usd"] == 0.5355
    shop.prices.write_text("# nothing yet\n", "utf-8")
    assert shop(*plan)["cost_usd"] == 0.54


def test_every_command_reckons_with_it(shop):
    """What is planned is what a budget holds against, and what stands in the records."""
    shop.prices.write_text(f"{CORE}: 0.125\n{ULTRA}: 0.25\n", "utf-8")

    assert shop("validate", "job.yaml")["cost_usd"] == 0.375
    assert shop("run", "job.yaml", "--dry-run")["cost_usd"] == 0.375
    doctor = {each["check"]: each for each in shop("doctor", "job.yaml")["checks"]}
    assert doctor["cost"]["cost_usd"] == 0.375

    short = shop("run", "job.yaml", "--max-cost=0.2")
    assert (short["succeeded"], short["billed_usd"], short["exit_code"]) == (1, 0.125, 3)
    whole = shop("run", "job.yaml")
    assert (whole["succeeded"], whole["billed_usd"]) == (1, 0.25)
    lines = map(json.loads, (shop.folder / "out/manifest.jsonl").read_text().splitlines())
    assert sum(line["cost_usd"] for line in lines if line["kind"] == "record") == 0.375
    again = shop("reproduce", "out/manifest.jsonl", "--dry-run")
    assert again["cost_usd"] == 0.375


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"# ours\n{CORE}: -1\n", f"prices.yaml:2: {CORE}: cannot be -1; allowed: US dollars"),
        (f"prices:\n  {CORE}: cheap\n", f'2: prices.{CORE}: cannot be "cheap"; allowed: US'),
        (f"{CORE}: 1\nStability.{CORE[10:]}: 1\n", f'2: Stability.{CORE[10:]}: "Stability.'),
        (f"{CORE[:-2]}: 1\n", f'1: {CORE[:-2]}: "{CORE[:-2]}" is no model that is known'),
        (f"{CORE}: 1\n{CORE}: 2\n", "prices.yaml:2: "),
        ("- 0.04\n", "a file of prices is a mapping of models to US dollars"),
        (f"{CORE}: [\n", "prices.yaml:"),
    ],
)
def test_what_is_wrong_with_it_has_its_line(shop, text, said):
    """A price that was meant otherwise is money."""
    shop.prices.write_text(text, "utf-8")
    for command in ("plan", "validate"):
        assert said in shop.refused(command, "job.yaml")


def test_a_file_that_was_named_must_be_there(shop):
    """The usual one need not."""
    assert "nope.yaml: there is no such file" in shop.refused(
        "plan", "job.yaml", "--prices=nope.yaml"
    )


def test_prices_of_other_models_are_no_mistake(shop):
    """The file is for all jobs; a version that is newer than the list has its price there."""
    newer = "stability.stable-image-core-v2:0"
    shop.prices.write_text(f"{newer}: 0.06\nus.amazon.own: 1\n", "utf-8")
    assert shop("plan", "job.yaml")["cost_usd"] == 0.18
    text = JOB.replace(CORE, newer).replace("a mug,", "a mug, family: stable-image,")
    (shop.folder / "job.yaml").write_text(text + "limits: {budget_usd: 1}\n", "utf-8")
    assert shop("plan", "job.yaml")["cost_usd"] == 0.2
