"""No key, token or signature reaches a terminal, a log, a manifest or any other file."""

import asyncio
import json
import os
import re
import sys
from pathlib import Path

import pytest
from bench import bench

import batchgen

KEY = "AKIARECOGNISABLEKEY1"
SECRET = "recognisable/secret/of/forty/characters00"  # noqa: S105  # made up, to be looked for
TOKEN = "IQoJb3JpZ2luX2VjRECOGNISABLETOKEN=="  # noqa: S105  # as above
BEARER = "bedrock-api-key-RECOGNISABLEBEARER"
ENVIRONMENTS = {
    "keys": {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_SESSION_TOKEN": TOKEN,
    },
    "bearer": {"AWS_BEARER_TOKEN_BEDROCK": BEARER},
}
FAULTS = [
    {"action": "reset", "when": {"contains": "mug 1"}, "times": 1},
    {"action": "html", "when": {"contains": "mug 2"}, "times": 1},
    {"action": "AccessDeniedException", "when": {"contains": "mug 3"}},
    {"action": "InternalServerException", "when": {"contains": "mug 4"}, "times": 1},
    {"action": "ExpiredTokenException", "when": {"contains": "mug 5"}, "times": 1},
]


def signatures(it):
    """Takes down what the requests were signed with, as the service sees it."""
    seen = []
    arrive = it.service.arrive

    def noting(model_id, headers, body):
        seen.append(headers["Authorization"])
        return arrive(model_id, headers, body)

    it.service.arrive = noting
    return seen


@pytest.mark.parametrize("kind", ENVIRONMENTS)
async def test_the_wordiest_run_keeps_secrets(tmp_path, kind, empty_home):
    """`-vv` says a great deal, errors of all kinds included, and nothing that opens a door."""
    async with bench(tmp_path, host="127.0.0.2") as it:
        seen = signatures(it)
        it.script(*FAULTS)
        job = tmp_path / "job.yaml"
        job.write_text(json.dumps(it.fields(8)))
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path(batchgen.__file__).parents[1]),
            "HOME": str(empty_home),
            "AWS_EC2_METADATA_DISABLED": "true",
            **ENVIRONMENTS[kind],
        }
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "batchgen", "-vv", "run", str(job), "--json"),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said = b"".join(await process.communicate())

        assert process.returncode == 1, said.decode()
        assert b"DEBUG" in said or b"INFO" in said
        written = b"".join(path.read_bytes() for path in it.folder.rglob("*") if path.is_file())
        assert len(seen) > 10
        signed = set(re.findall(r"Signature=(\w+)", " ".join(seen)))
        assert bool(signed) == (kind == "keys")
        for secret in {KEY, SECRET, TOKEN, BEARER, *signed}:
            assert secret.encode() not in said
            assert secret.encode() not in written
