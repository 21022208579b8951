"""What a run leaves, and what the next one makes of it, told by what the simulator charged."""

import json

import pytest
from shell import PATIENCE, Service, Shell, texts


@pytest.fixture(scope="module", autouse=True)
def unreachable(tmp_path_factory):
    """A run against a port where nobody listens, begun before the first test of this file."""
    shell = Shell(tmp_path_factory.mktemp("unreachable"), Service("http://127.0.0.1:9"))
    shell.job("a mug")
    yield shell, shell.start("run", "job.yaml", "--json")
    shell.close()


class TestResults:
    def test_json_is_one_object_and_nothing_else(self, batchgen):
        """With --json standard output is one JSON object, the same as the manifest's end line."""
        batchgen.job("a mug")

        ended = batchgen.run("--json")

        assert ended.code == 0
        summary = json.loads(ended.out)
        assert ended.out.count("\n") == 1
        assert summary == batchgen.lines("end")[0]["summary"]
        assert (summary["succeeded"], summary["billed_usd"]) == (1, 0.04)


class TestAgain:
    def test_the_same_command_makes_nothing(self, batchgen):
        """What is there and on record is neither called for nor written again, unless --fresh."""
        batchgen.job("a mug", "a lamp")
        first = batchgen.run()
        images = {path: data for path, data in batchgen.files().items() if path.endswith(".png")}
        second = batchgen.run()
        kept, charged = batchgen.files(), batchgen.service.charged()
        third = batchgen.run("--fresh", "--limit=1")

        assert [each.code for each in (first, second, third)] == [0, 0, 0]
        assert [each.out for each in (first, second, third)] == ["", "", ""]
        assert "2/2  " in first.err
        assert "2 images made, 0 filtered, 0 failed, 0 left open, 0 done earlier" in first.err
        assert "Cost: billed 0.08 USD." in first.err
        assert "0 images made, 0 filtered, 0 failed, 0 left open, 2 done earlier" in second.err
        assert charged == len(images) == 2
        assert images.items() <= kept.items()
        assert batchgen.service.charged() == 3
        assert "out/superseded/item-1-1~1.png" in batchgen.files()

    def test_an_edit_makes_one_image_and_undoing_it_none(self, batchgen):
        """A changed item's image takes the name; the older one comes back without a call."""
        batchgen.job("a mug", "a lamp")
        batchgen.run()
        first = batchgen.files()["out/images/item-1-1.png"]

        batchgen.job("a mug", "a lamp")
        batchgen.edit(0, parameters={"aspect_ratio": "16:9"})
        edited = batchgen.run()
        second = batchgen.files()
        batchgen.job("a mug", "a lamp")
        undone = batchgen.run()
        third = batchgen.files()

        assert (edited.code, undone.code, batchgen.service.charged()) == (0, 0, 3)
        assert second["out/superseded/item-1-1~1.png"] == first
        assert second["out/images/item-1-1.png"] != first
        assert third["out/images/item-1-1.png"] == first
        assert second["out/images/item-1-1.png"] in [
            data for path, data in third.items() if path.startswith("out/superseded/")
        ]

    def test_filtered_tasks_are_made_again_only_when_asked(self, batchgen):
        """A filtered task ends with exit code 1, now and later, and is not paid for twice."""
        batchgen.job("a mug", "a naked mug")

        first, second = batchgen.run(), batchgen.run()
        calls = len(batchgen.service.ledger())
        third = batchgen.run("--retry-filtered")

        assert (first.code, second.code, third.code) == (1, 1, 1)
        assert (calls, len(batchgen.service.ledger())) == (2, 3)
        assert "item-2/1 was filtered by the service: Filter reason: prompt. Reword" in first.err

    def test_a_part_can_be_made_first(self, batchgen):
        """--only and --limit make a part; a dry run tells the rest, and the next run makes it."""
        batchgen.job("a mug", "a lamp", "a rug", "a bed")

        part = batchgen.run("--only", "item-[23]", "--limit=1")
        dry = batchgen.run("--dry-run")
        calls = len(batchgen.service.ledger())
        rest = batchgen.run()

        assert (part.code, dry.code, rest.code) == (0, 0, 0)
        assert dry.out.startswith("3 of 4 tasks would be made for 0.12 USD")
        assert (calls, batchgen.service.charged()) == (1, 4)
        assert batchgen.lines("record")[0]["label"] == "item-2/1"

    def test_a_dry_run_writes_nothing(self, batchgen):
        """--dry-run calls nothing and leaves no trace."""
        batchgen.job("a mug")
        before = batchgen.files()

        ended = batchgen.run("--dry-run", "--json")

        told = {"tasks": 1, "to_make": 1, "cost_usd": 0.04, "minutes": 0.0, "simulated": True}
        assert told.items() <= json.loads(ended.out).items()
        assert batchgen.files() == before
        assert batchgen.service.ledger() == []


class TestFailures:
    def test_fifty_equal_failures_are_two_lines(self, batchgen):
        """The first failure is told whole, the others are a count; the next run tries again."""
        batchgen.service.script("ValidationException", times=50)
        batchgen.job(*(f"mug {number}" for number in range(50)))

        ended = batchgen.run()
        again = batchgen.run()

        told = [line for line in texts(ended.err) if "ValidationException" in line]
        assert ended.code == 1
        assert len(told) == 2
        assert told[1].startswith("50 tasks failed: ValidationException: ")
        assert told[1].endswith("Correct the prompt or the parameters in the job file.")
        assert again.code == 0
        assert batchgen.service.charged() == 50

    def test_a_retry_is_told_once(self, batchgen):
        """Why nothing moves is said at the first attempt that is made again, then counted."""
        batchgen.service.script("ServiceUnavailableException", times=2)
        batchgen.job("a mug", "a lamp")

        ended = batchgen.run()

        told = [line for line in texts(ended.err) if "ServiceUnavailable" in line]
        assert ended.code == 0
        assert "is tried again: ServiceUnavailableException: " in told[0]
        assert told[1:] == ["2 attempts were made again after ServiceUnavailableException."]


class TestHarmless:
    STEERING = "\x1b[31m\x07\r\u202e\u2028\u009b2J"

    def test_nothing_that_steers_a_terminal_is_printed_raw(self, batchgen):
        """Prompts, ids and the service's words are escaped on the terminal, exact on record."""
        message = f"no {self.STEERING}mugs"
        batchgen.service.script("ValidationException", message=message)
        item = {"id": "mug\u202eb", "prompt": f"a {self.STEERING}mug"}
        batchgen.job(items=[item], file_name="{variant}")

        ended = batchgen("-vv", "run", "job.yaml", "--rpm=60000", env={})

        assert ended.code == 1
        assert not [char for char in ended.err if not char.isprintable() and char != "\n"]
        assert r"mug\u202eb/1 failed: ValidationException: no \x1b[31m\x07\r" in ended.err
        record = batchgen.lines("record")[0]
        assert record["request"]["prompt"] == item["prompt"]
        assert record["error"]["message"] == message

    def test_a_secret_is_nowhere(self, batchgen):
        """No token, key or signature reaches an output, a log or the manifest, even with -vv."""
        keys = {
            "AWS_ACCESS_KEY_ID": "AKIDVERYSECRET",
            "AWS_SECRET_ACCESS_KEY": "verysecretkey",
            "AWS_SESSION_TOKEN": "verysecrettoken",
        }
        # Keys are shown only to an address that is not plainly this machine's own.
        simulator = batchgen.start("simulate", "--host=127.0.0.2", "--latency=0")
        service = Service(json.loads(simulator.stdout.readline())["url"])
        batchgen.job("a mug", endpoint=service.url)

        ended = batchgen("-vv", "run", "job.yaml", "--json", env=keys)

        said = f"{ended}{batchgen.files()}".lower()
        assert ended.code == 0
        assert service.ledger()[0]["key_id"] == keys["AWS_ACCESS_KEY_ID"]
        assert "verysecret" not in said
        assert "signature=" not in said


def test_a_refused_connection_ends_the_run(unreachable):
    """Told at the first attempt, tried for a while, then exit code 4 and the address.

    Last in this file: the run has had all the time of the others.
    """
    shell, process = unreachable
    out, err = process.communicate(timeout=PATIENCE)

    _, *lines = texts(err)
    summary = json.loads(out)
    assert process.returncode == 4
    assert lines[0].startswith("item-1/1 is tried again: EndpointConnectionError: ")
    assert lines[-2].startswith("Nothing answers at the endpoint: ")
    assert f'"{shell.service.url}/model/' in lines[-2]
    assert lines[-2].endswith("Check the network, the Region's name and `endpoint`.")
    assert (summary["left"], summary["billed_usd"], summary["maybe_billed_usd"]) == (1, 0.0, 0.0)
    assert summary["elapsed_s"] < 40
    assert shell.lines("record") == []
