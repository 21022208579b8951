"""`doctor` ends as the run would, with its findings, whatever lies in its way."""

import json
import os

import pytest
from loopback import response, sends, serving

from batchgen.doctor.examine import examine
from batchgen.doctor.findings import Verdict, exit_code
from batchgen.job import parse

CORE = "stability.stable-image-core-v1:1"
CHECKS = {"job", "credentials", "service", "clock", "model", "quota", "time", "output"}


def job_of(output, **keys):
    values = {
        "name": "shop",
        "model": CORE,
        "region": "us-west-2",
        "output": str(output),
        "items": [{"id": "mug", "prompt": "a mug"}],
        **keys,
    }
    return parse("job.yaml", json.dumps(values).encode(), defer=True)


async def examined(output, respond=None, **keys):
    """What is found with this output, at a service that answers all questions alike."""
    async with serving() as server:
        server.respond = respond or sends(response(404, b"{}"))
        job = job_of(output, **keys).model_copy(update={"endpoint": server.url})
        return await examine(job)


def a_file(place):
    place.touch()


def a_pipe(place):
    os.mkfifo(place)


def a_circle(place):
    place.symlink_to(place.name)


def a_link_to_nothing(place):
    place.symlink_to("nowhere")


def a_folder_in_the_place_of(name):
    def make(place):
        (place / name).mkdir(parents=True)

    return make


def a_pipe_in_the_place_of(name):
    def make(place):
        place.mkdir()
        os.mkfifo(place / name)

    return make


def a_link_in_the_place_of(name):
    def make(place):
        (place.parent / "elsewhere").mkdir()
        place.mkdir()
        (place / name).symlink_to(place.parent / "elsewhere")

    return make


def a_file_in_the_place_of(name):
    def make(place):
        place.mkdir()
        (place / name).touch()

    return make


ODD = {
    "a file": a_file,
    "a pipe": a_pipe,
    "a circle of links": a_circle,
    "a link to nothing": a_link_to_nothing,
    "a manifest that is a folder": a_folder_in_the_place_of("manifest.jsonl"),
    "a manifest that is a pipe": a_pipe_in_the_place_of("manifest.jsonl"),
    "a lock that is a folder": a_folder_in_the_place_of("manifest.lock"),
    "a lock that is a pipe": a_pipe_in_the_place_of("manifest.lock"),
    "images that are a file": a_file_in_the_place_of("images"),
    "images that are a link": a_link_in_the_place_of("images"),
    "superseded that is a file": a_file_in_the_place_of("superseded"),
}


class TestOutput:
    @pytest.mark.parametrize("odd", ODD)
    @pytest.mark.parametrize("below", ["", "below"])
    async def test_an_odd_output_is_a_finding(self, tmp_path, odd, below):
        """Exit code 2, as the run has it, and all other checks have their lines."""
        place = tmp_path / "out"
        ODD[odd](place)
        if below and place.is_dir():
            return  # a folder in an odd folder is an output like any other

        findings = await examined(place / below if below else place)

        (found,) = (each for each in findings if each.check == "output")
        assert found.verdict is Verdict.FAILED
        assert exit_code(findings) == 2
        assert {each.check for each in findings} >= CHECKS

    @pytest.mark.parametrize("name", ["n" * 300, "/dev/null", "/proc/x", "a\u0301" * 200])
    async def test_a_name_that_cannot_be(self, tmp_path, name):
        """What the system does not take is said in its words."""
        findings = await examined(tmp_path / name)
        assert exit_code(findings) == 2
        assert {each.check for each in findings} >= CHECKS


PAGE = b"<!doctype html><title>Log in</title>"
ANSWERS = {
    "JSON": sends(response(200, b'{"message": "hello"}')),
    "a JSON list": sends(response(200, b"[]")),
    "HTML": sends(response(200, PAGE, {"Content-Type": "text/html"})),
    "no UTF-8": sends(response(200, b"\xff\xfe\x00")),
    "nothing": sends(response(200)),
    "404 with JSON": sends(response(404, b'{"message": "no such thing"}')),
    "404 with HTML": sends(response(404, PAGE)),
    "400 with a list": sends(response(400, b"[1]")),
}


class TestService:
    @pytest.mark.parametrize("routes", [False, True], ids=["one account", "routes"])
    @pytest.mark.parametrize("answer", ANSWERS)
    async def test_a_service_without_sts(self, tmp_path, answer, routes):
        """Whose the credentials are is not known; the run does not need to know, and goes on."""
        keys = {}
        if routes:
            keys["routes"] = [{"name": "day"}, {"name": "night", "region": "us-east-1"}]
        findings = await examined(tmp_path / "out", ANSWERS[answer], **keys)

        whose = [each for each in findings if each.check == "credentials"]
        assert {each.verdict for each in whose} == {Verdict.WARNING}
        assert len(whose) == 1 + routes
        troubled = {each.check for each in findings if each.verdict is Verdict.FAILED}
        assert troubled <= {"model"}  # which nobody here knows, as a call would find out

    async def test_doctor_does_not_advise_itself(self, tmp_path):
        """Whoever reads its findings has run it."""
        body = json.dumps({"message": "not allowed"}).encode()
        for status in (401, 403):
            findings = await examined(tmp_path / "out", sends(response(status, body)))
            assert not any("batchgen doctor" in each.text for each in findings)

    async def test_an_endpoint_in_clear_is_the_runs_trouble_too(self, tmp_path):
        """A job that names one is refused with 2, and so is one that `--endpoint` gives."""
        far = job_of(tmp_path / "out", endpoint="http://192.0.2.7")
        assert exit_code(await examine(far)) == 2
        given = job_of(tmp_path / "out").model_copy(update={"endpoint": "http://192.0.2.7"})
        assert exit_code(await examine(given)) == 2
