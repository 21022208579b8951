"""`batchgen plan` of a chain: what is made again after an edit, and which fields made it so."""

import json
from pathlib import Path

import pytest

from batchgen import cli

CUT = "us.stability.stable-image-control-structure-v1:0"
JOB = f"""\
name: shop
endpoint: simulator
simulator: {{latency: 0.01}}
limits: {{requests_per_minute: 60000}}
model: stability.stable-image-core-v1:1
output: out
items:
- {{id: mug, prompt: a mug}}
- {{id: lamp, prompt: a lamp}}
steps:
- {{id: make}}
- {{id: line, model: '{CUT}', prompt: lines, parameters: {{image: "@make", control_strength: 0.5}}}}
"""


def test_what_changed_of_a_chain_is_told_step_by_step(tmp_path, monkeypatch, capsys):
    """A changed parent makes its children anew; an image that is the same is no change."""
    monkeypatch.chdir(tmp_path)
    job = tmp_path / "job.yaml"

    def changed(text):
        job.write_text(text, "utf-8")
        capsys.readouterr()
        assert cli.main(["plan", "job.yaml", "--explain", "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        steps = [(each["step"], each["made"], each["to_make"]) for each in told["steps"]]
        return steps, {each["label"]: set(each["fields"]) for each in told["changed"]}

    job.write_text(JOB, "utf-8")
    assert cli.main(["run", "job.yaml", "--quiet"]) == 0
    assert changed(JOB) == ([("make", 2, 0), ("line", 2, 0)], {})
    assert changed(JOB.replace("strength: 0.5", "strength: 0.6")) == (
        [("make", 2, 0), ("line", 0, 2)],
        {"mug/1/line": {"control_strength"}, "lamp/1/line": {"control_strength"}},
    )
    assert changed(JOB.replace("a mug", "a blue mug")) == (
        [("make", 1, 1), ("line", 1, 1)],
        {"mug/1/make": {"prompt"}, "mug/1/line": {"image"}},
    )


@pytest.mark.parametrize(
    ("limits", "needed"),
    [("budget_usd: 0.03", "0.04 needed"), ("budget_usd: 0.1, whole_chains: true", "0.11 needed")],
)
def test_a_budget_without_room_for_anything_is_said_before_as_in_the_run(
    tmp_path, monkeypatch, capsys, limits, needed
):
    """By plan, dry run and doctor in the run's own words; nobody is charged."""
    monkeypatch.chdir(tmp_path)
    text = JOB.replace("requests_per_minute: 60000", f"requests_per_minute: 60000, {limits}")
    (tmp_path / "job.yaml").write_text(text, "utf-8")

    def said(*arguments):
        capsys.readouterr()
        code = cli.main(list(arguments))
        shown = capsys.readouterr()
        assert needed in shown.out + shown.err
        return code, shown.out

    assert said("plan", "job.yaml")[0] == 0
    budget = json.loads(said("plan", "job.yaml", "--json")[1])["budget"]
    assert (budget["covers"], needed in budget["shortage"]) == (0, True)
    assert said("run", "job.yaml", "--dry-run")[0] == 0
    assert said("doctor", "job.yaml")[0] == 3
    assert said("run", "job.yaml")[0] == 3
    assert '"kind": "attempt"' not in Path("out/manifest.jsonl").read_text("utf-8")
