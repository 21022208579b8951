import subprocess
import sys

import batchgen.bedrock

SDK = ("aioboto3", "aiobotocore", "aiohttp", "boto3", "botocore")


def test_importing_the_room_leaves_the_sdk_out():
    """The SDK takes a third of a second to import, which only those who connect pay for."""
    code = f"import batchgen.bedrock, sys; print(sorted(sys.modules.keys() & {set(SDK)!r}))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert loaded.stdout.strip() == "[]"


def test_every_public_name_is_there():
    """What the room promises can be imported from it."""
    for name in batchgen.bedrock.__all__:
        assert getattr(batchgen.bedrock, name) is not None
