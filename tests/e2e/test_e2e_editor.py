"""An editor's help with a job file: the YAML language server from npm, given our JSON Schema.

These tests exist where it is installed: `make editor` installs it and runs them.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from batchgen.cli import main

SERVER = os.environ.get("YAML_LANGUAGE_SERVER") or shutil.which("yaml-language-server")


class Editor:
    """Speaks the language server protocol with the server over its standard streams."""

    def __init__(self, command):
        self._process = subprocess.Popen(
            [command, "--stdio"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._number = 0
        self.request("initialize", processId=None, rootUri=None, capabilities={})
        self.notify("initialized")

    def notify(self, method, **parameters):
        self._send({"method": method, "params": parameters})

    def request(self, method, **parameters):
        """Its answer, whatever it asks or tells meanwhile."""
        self._number += 1
        self._send({"id": self._number, "method": method, "params": parameters})
        return self.wait(lambda it: it.get("id") == self._number and "method" not in it)["result"]

    def wait(self, wanted):
        """The next message that is wanted; its own questions are answered with nothing."""
        while True:
            message = self._read()
            if "method" in message and "id" in message:
                empty = [{}] if message["method"] == "workspace/configuration" else None
                self._send({"id": message["id"], "result": empty})
            elif wanted(message):
                return message

    def _send(self, message):
        data = json.dumps({"jsonrpc": "2.0", **message}).encode()
        self._process.stdin.write(b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
        self._process.stdin.flush()

    def _read(self):
        length = 0
        while (line := self._process.stdout.readline().strip()) or not length:
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
            assert self._process.poll() is None
        return json.loads(self._process.stdout.read(length))

    def close(self):
        self._process.kill()
        self._process.communicate()


class TestEditor:
    __test__ = bool(SERVER)

    @pytest.fixture
    def editor(self):
        editor = Editor(SERVER)
        yield editor
        editor.close()

    @pytest.fixture
    def job(self, tmp_path):
        """What `batchgen init` writes, opened with some more text at its end."""
        assert main(["init", str(tmp_path), "--json"]) == 0
        return tmp_path / "catalog.yaml"

    def opened(self, editor, job, more):
        text = Path(job).read_text("utf-8") + more
        document = {"uri": job.as_uri(), "languageId": "yaml", "version": 1, "text": text}
        editor.notify("textDocument/didOpen", textDocument=document)
        return text

    def complaints(self, editor):
        """What it says of the file, once it has looked at it."""
        message = editor.wait(lambda it: it.get("method") == "textDocument/publishDiagnostics")
        return [each["message"] for each in message["params"]["diagnostics"]]

    def test_what_init_writes_is_right(self, editor, job):
        """The schema on its first line is found, and nothing is complained of."""
        self.opened(editor, job, "")
        assert self.complaints(editor) == []

    def test_a_slip_is_marked(self, editor, job):
        """An unknown key, and a value that is not allowed."""
        self.opened(editor, job, "sede: 1\nvariants: 0\n")
        found = " ".join(self.complaints(editor))
        assert "sede" in found
        assert "minimum" in found

    def test_keys_are_completed_with_their_descriptions(self, editor, job):
        """At the beginning of a line, all that is not there yet."""
        text = self.opened(editor, job, "")
        found = editor.request(
            "textDocument/completion",
            textDocument={"uri": job.as_uri()},
            position={"line": text.count("\n"), "character": 0},
        )
        items = {each["label"]: each for each in found["items"]}
        assert {"retry", "max_tasks", "zip"} <= items.keys()
        assert "more images" in str(items["max_tasks"]["documentation"])
