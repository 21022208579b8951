"""A file that is there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from batchgen.errors import InputError
from batchgen.output.manifest import sync_folder
from batchgen.output.paths import unusable


@contextmanager
def replacing(path: Path, *, is_new: bool = False) -> Iterator[BinaryIO]:
    """Write a file under another name, and give it its own when it is whole and synced.

    Args:
        path: of the file.
        is_new: never take the place of a file that is there.

    Raises:
        InputError: it is there, and must not be.
        OutputUnusable: it cannot be written.
        StorageError: the disk is full.
    """
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    refusal = f"{path} is there already, and is not replaced: name another file."
    if is_new and os.path.lexists(path):
        raise InputError(refusal)
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if is_new:
            os.link(part, path)
        else:
            part.replace(path)
        sync_folder(path.parent)
    except FileExistsError as error:
        raise InputError(refusal) from error
    except OSError as error:
        raise unusable(f"{path} cannot be written", error) from error
    finally:
        part.unlink(missing_ok=True)
