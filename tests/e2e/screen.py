"""A terminal that a test can read: what a person would see after all these bytes."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import termios
from contextlib import suppress

TOKEN = re.compile(r"\x1b\[(\??[0-9;]*)([A-Za-z])|(\r)|(\n)|([^\x1b\r\n])")


class Terminal:
    """A pseudo-terminal of a size; `slave` is what a process gets as its standard error."""

    def __init__(self, columns: int = 80, rows: int = 24) -> None:
        self.columns = columns
        self.master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        os.set_blocking(self.master, False)
        self.raw = ""

    def read(self) -> list[str]:
        """The lines on the screen by now, the empty ones left out."""
        with suppress(BlockingIOError, OSError):  # nothing new, or nobody writes any more
            while data := os.read(self.master, 65_536):
                self.raw += data.decode()
        return [line.rstrip() for line in shown(self.raw, self.columns) if line.strip()]

    def close(self) -> None:
        """Take the terminal away."""
        for descriptor in (self.master, self.slave):
            with suppress(OSError):
                os.close(descriptor)


def shown(raw: str, columns: int) -> list[str]:
    """The lines of a screen after these characters; only what a progress bar needs is known."""
    rows: list[list[str]] = [[]]
    row = column = 0
    for parameters, command, back, down, character in TOKEN.findall(raw):
        if character:
            if column == columns:
                row, column = row + 1, 0
            while len(rows) <= row:
                rows.append([])
            rows[row] += " " * (column + 1 - len(rows[row]))
            rows[row][column] = character
            column += 1
        elif back:
            column = 0
        elif down:
            row, column = row + 1, 0
        elif command == "A":
            row = max(0, row - int(parameters or 1))
        elif command == "K" and row < len(rows):
            rows[row] = [] if parameters == "2" else rows[row][:column]
    return ["".join(each) for each in rows]
