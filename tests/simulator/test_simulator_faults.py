"""Which calls a fault meets: those it is scripted for, spelled in, or those of chance."""

import pytest
from clocks import ManualClock
from wire import CORE, PROMPT, SDXL, authorization, wired

from batchgen.simulator.faults.actions import ACTIONS, Stage
from batchgen.simulator.faults.directives import DirectiveError, read


def script(wire, *faults):
    """Put directives in force."""
    wire.service.script.add(read(list(faults)))


@pytest.mark.parametrize(
    ("when", "statuses"),
    [
        ({"when": {"call": 2}}, [200, 429, 200, 200]),
        ({"when": {"call": [3, None]}}, [200, 200, 429, 429]),
        ({"when": {"attempt": 2}}, [200, 200, 429, 200]),
        ({"when": {"attempt": [1, 2]}, "times": 1}, [429, 200, 200, 200]),
        ({"when": {"contains": "grün"}}, [200, 429, 200, 200]),
        ({"when": {"model": SDXL}}, [200, 200, 200, 200]),
        ({"when": {"model": CORE}, "skip": 1, "times": 2}, [200, 429, 429, 200]),
        ({"when": {"region": "us-east-1"}}, [200, 200, 200, 200]),
        ({"when": {"key_id": "OTHER"}}, [200, 200, 200, 429]),
        ({"when": {"since": 60}}, [200, 200, 200, 200]),
        ({"when": {"until": 60}}, [429, 429, 429, 429]),
    ],
)
async def test_a_directive_acts_on_the_calls_it_is_for(when, statuses):
    """By number, attempt, text, model, Region, key and time; after some, and so many times."""
    calls = [
        (PROMPT, "AKID"),
        ({"prompt": "grün"}, "AKID"),
        (PROMPT, "AKID"),
        ({"prompt": "b"}, "OTHER"),
    ]
    async with wired(clock=ManualClock(), picture="plain") as wire:
        script(wire, {"action": "throttle", **when})
        got = [
            (await wire.post(body, headers={"Authorization": authorization(key)})).status
            for body, key in calls
        ]

    assert got == statuses


async def test_of_each_stage_the_first_directive_acts():
    """So an error hides a later one, and different stages add up."""
    async with wired(picture="plain") as wire:
        script(
            wire,
            {"action": "seeds-absent"},
            {"action": "seeds-zero"},
            {"action": "cut-json", "bytes": 10},
        )
        heard = await wire.post(PROMPT)
        entry = wire.service.ledger.lines()[0]

    assert len(heard.body) == 10
    assert entry["fault"] == "seeds-absent,cut-json"


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "a JSON list"),
        ([1], "directive 1: not a JSON object"),
        ([{"action": "throttle"}, {"action": "explode"}], "directive 2: unknown action 'explode'"),
        ([{}], "unknown action None"),
        ([{"action": "throttle", "time": 1}], "unknown key 'time'"),
        ([{"action": "throttle", "times": "1"}], "times: '1' cannot be used"),
        ([{"action": "throttle", "charged": 1}], "charged: 1 cannot be used"),
        ([{"action": "late", "seconds": 1e400}], "seconds: inf cannot be used"),
        ([{"action": "date-skew", "seconds": 1e18}], "seconds: 1e.18 cannot be used"),
        ([{"action": "throttle", "when": {"since": float("nan")}}], "since: nan cannot be used"),
        ([{"action": "throttle", "status": 99_999}], "status: 99999 cannot be used"),
        ([{"action": "cut-json", "bytes": -5}], "bytes: -5 cannot be used"),
        ([{"action": "error", "type": "x\r\nInjected: 1"}], "type: .* cannot be used"),
        ([{"action": "throttle", "when": {"call": [1, 2, 3]}}], r"when: call: \[1, 2, 3\] cannot"),
        ([{"action": "throttle", "when": {"who": "me"}}], "when: unknown key 'who'"),
        ([{"action": "error"}], "needs a `type`"),
    ],
)
def test_a_directive_that_cannot_be_used_is_refused_with_its_place(document, words):
    """Which one, which key, which value."""
    with pytest.raises(DirectiveError, match=words):
        read(document)


async def test_a_prompt_can_spell_an_action():
    """For people who play by hand; `*2` stops after two attempts."""
    async with wired(picture="plain") as wire:
        body = {"prompt": "a mug simulate:ThrottlingException*2"}
        statuses = [(await wire.post(body)).status for _ in range(3)]
        unknown = await wire.post({"prompt": "simulate:explode"})

    assert statuses == [429, 429, 200]
    assert "simulate:explode is no action of this simulator; try" in unknown.message


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("a Nude, standing", "Filter reason: prompt"),
        ("bloody mary", "Filter reason: output image"),
        ("a denuded hill", None),
    ],
)
async def test_a_few_words_are_moderated(prompt, reason):
    """Whole words, in any case."""
    async with wired(picture="plain") as wire:
        heard = await wire.post({"prompt": prompt})

    assert heard.json["finish_reasons"] == [reason]


@pytest.mark.parametrize(
    ("rate", "outcomes"),
    [
        ("throttle_rate", {"ThrottlingException"}),
        (
            "error_rate",
            {
                "InternalServerException",
                "ServiceUnavailableException",
                "ModelTimeoutException",
                "ModelErrorException",
            },
        ),
        ("filter_rate", {"filtered"}),
    ],
)
async def test_rates_hit_about_their_share_of_calls_and_the_same_ones_again(rate, outcomes):
    """Decided by the body and its attempt, not by the order of calls."""

    async def hit():
        async with wired(picture="plain", **{rate: "0.3"}) as wire:
            for number in range(60):
                await wire.post({"prompt": f"p{number}"})
            return [entry["outcome"] for entry in wire.service.ledger.lines()]

    first = await hit()
    struck = [outcome for outcome in first if outcome != "generated"]

    assert first == await hit()
    assert set(struck) == outcomes
    assert 8 <= len(struck) <= 28


async def test_a_retry_has_luck_of_its_own_except_with_moderation():
    """A throttled body passes in the end; a filtered one never does."""
    async with wired(picture="plain", throttle_rate="0.5", filter_rate="0.5") as wire:
        for number in range(20):
            for _ in range(12):
                await wire.post({"prompt": f"p{number}"})
        by_body = {}
        for entry in wire.service.ledger.lines():
            by_body.setdefault(entry["body_sha256"], set()).add(entry["outcome"])

    assert all("ThrottlingException" in outcomes for outcomes in by_body.values())
    assert all(len(outcomes) == 2 for outcomes in by_body.values())
    assert len({frozenset(outcomes) for outcomes in by_body.values()}) == 2


async def test_drops_and_damages_are_drawn_from_their_kinds():
    """All of them are charged: something was made."""
    async with wired(picture="plain", drop_rate="0.5", damage_rate="0.5") as wire:
        for number in range(40):
            await wire.post({"prompt": f"p{number}"})
        entries = wire.service.ledger.lines()

    names = {name for entry in entries for name in (entry["fault"] or "").split(",") if name}
    stages = {ACTIONS[name].stage for name in names}
    assert stages == {Stage.ALTERATION, Stage.BODY, Stage.DELIVERY}
    assert {entry["charged_usd"] for entry in entries} == {"0.04"}
    assert {entry["delivered"] for entry in entries} == {True, False}


def test_every_action_says_what_it_does():
    """In one line."""
    assert all(action.text for action in ACTIONS.values())
