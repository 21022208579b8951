"""Items from data files: one row of a CSV, one line of a JSONL, one file of a pattern."""

from __future__ import annotations

import csv
import glob
import io
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path as File
from pathlib import PurePath
from typing import Any

from pydantic import TypeAdapter, ValidationError

from batchgen.errors import InputError
from batchgen.job import fields
from batchgen.job.axes import PARAMETER, is_placeholder
from batchgen.job.complaints import Complaints, Path
from batchgen.job.data_file import LONGEST_LINE, DataFile, RegularFile, StandardInput
from batchgen.job.rows import Row, item_of
from batchgen.job.schema import Job
from batchgen.job.sections import Item
from batchgen.job.steps import NO_VARIABLE, STEP
from batchgen.job.validation_errors import KEYS, wrongs
from batchgen.job.yaml_document import WIDE, is_wide
from batchgen.job.yaml_scalars import LONGEST_NUMBER, WrittenFloat, meaning
from batchgen.models import MODELS, Model, UnknownModel, find, takers
from batchgen.text import closest, counted, did_you_mean, quoted

STANDARD_INPUT = "-"
TEXTS = ("prompt", "negative_prompt", "model")
NUMBERS = ("seed", "variants")
OF_ITEMS = ("id", *TEXTS, *NUMBERS)
"""Columns that mean what they mean in an item; others are variables or `parameters.NAME`."""
TEXT_KINDS = frozenset(("text", "choice", "image"))
"""Kinds of parameters whose cells are texts whatever they look like."""
NO_TEXT = "a byte 0 stands here: this is no text; save the file as UTF-8"
MOST_LISTED = 20
"""Columns that a complaint names."""

_JSON_LINES = (".jsonl", ".ndjson")
_TABLES = (".csv", ".tsv", ".txt")
_DELIMITERS = ",;\t|"
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_JSON_KEYS = frozenset(KEYS["items"])


class DataRows:
    """The rows of a job's data files, read anew at each walk; `variables` fills meanwhile."""

    def __init__(self, job: Job, found: Complaints, variables: set[str]) -> None:
        self._job = job
        self._found = found
        self._variables = variables
        self._number = -1
        # A path counts from the file that it stands in, which may be an included one.
        below = "" if job.source is None else job.source.folder_of(("items_from",))
        self._below = PurePath(below)
        self._folder = job.folder / below

    def __iter__(self) -> Iterator[Row]:
        """Those that nothing is wrong with, in the order of the files."""
        for index, named in enumerate(self._job.items_from):
            at: Path = ("items_from", index) if len(self._job.items_from) > 1 else ("items_from",)
            try:
                yield from self._of(named)
            except InputError as error:
                self._found.add(at, f"{quoted(named, fields.LONGEST_ID)} {error}")

    def _of(self, named: str) -> Iterator[Row]:
        if named == STANDARD_INPUT:
            yield from self._table_or_lines(
                "standard input", self._job.data_file(named, StandardInput)
            )
            return
        path = self._folder / named
        if not glob.has_magic(named) or path.exists():
            yield from self._read(path)
            return
        # `Path.glob` takes no absolute pattern, and its `*` finds hidden files.
        found = sorted(glob.iglob(named, root_dir=self._folder, recursive=True))  # noqa: PTH207  # as above
        files = [each for each in found if (self._folder / each).is_file()]
        if not files:
            raise InputError(f"fits no file in {quoted(str(self._folder), fields.LONGEST_ID)}")
        suffixes = {PurePath(each).suffix.lower() for each in files}
        if suffixes <= {*_TABLES, *_JSON_LINES}:
            for each in files:
                yield from self._read(self._folder / each)
            return
        self._variables.update(("stem", "path"))
        fixed = _fixed_parts(named)
        for each in files:
            yield from self._of_image(each, fixed)

    def _read(self, path: File) -> Iterator[Row]:
        if path.is_dir():
            raise InputError("is a folder: name a file, or a pattern such as photos/*.jpg")
        if not path.exists():
            raise InputError(f"is not there{_near(path)}")
        file = self._job.data_file(str(path), lambda: RegularFile(path))
        if path.suffix.lower() not in (*_TABLES, *_JSON_LINES):
            allowed = "a .csv, .tsv, .jsonl or .ndjson file, a pattern such as photos/*.jpg, or -"
            raise InputError(f"is no data file; allowed: {allowed}")
        yield from self._table_or_lines(str(path), file)

    def _of_image(self, path: str, fixed: int) -> Iterator[Row]:
        """The row of one file of a pattern; its id is the path below what the pattern fixes."""
        pure = PurePath(path)
        at: Path = ("items_from", str(self._folder / path))
        try:
            path.encode()
            name = fields.item_id(PurePath(*pure.parts[fixed:]).with_suffix("").as_posix())
        except ValueError as error:
            self._found.add(at, f"its name cannot be an id: {error}")
            return
        item = item_of(id=name, vars={"stem": pure.stem, "path": (self._below / pure).as_posix()})
        self._number += 1
        yield Row(self._number, item, at, (), name)

    def _table_or_lines(self, name: str, file: DataFile) -> Iterator[Row]:
        with file.open() as data:
            head = data.peek(64)[:64]
            if is_wide(head):
                self._found.add(("items_from", name), WIDE)
                return
            if 0 in head:
                line = head.count(b"\n", 0, head.index(0)) + 1
                self._found.add(("items_from", name, line), NO_TEXT)
                return
            text = io.TextIOWrapper(
                data, encoding="utf-8-sig", errors="surrogateescape", newline=""
            )
            lines = iter(lambda: text.readline(LONGEST_LINE), "")
            is_json = name.lower().endswith(_JSON_LINES) or (
                head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] == b"{"
            )
            read = self._json_lines if is_json else self._table
            for line, item in read(name, lines):
                self._number += 1
                yield Row(self._number, item, ("items_from", name, line), (), item.id)

    def _table(self, name: str, lines: Iterator[str]) -> Iterator[tuple[int, Item]]:
        first = next(lines, "")
        told = re.fullmatch(r"sep=(.)\r?\n?", first, re.IGNORECASE)
        skipped = 1 if told else 0
        if told:
            first = next(lines, "")
        if not first.strip():
            self._found.add(("items_from", name, 1), "the first line must name the columns")
            return
        delimiter = told[1] if told else delimiter_of(first)
        rows = csv.reader(
            _chained(first, lines), delimiter=delimiter, strict=True, skipinitialspace=True
        )
        end = skipped
        try:
            table = self._columns(name, next(rows), skipped + 1)
            end = skipped + rows.line_num
            for cells in rows if table else ():
                line, end = end + 1, skipped + rows.line_num
                if any(cells):
                    item = table.item(cells, line) if table else None
                    if item is not None:
                        yield line, item
        except csv.Error as error:
            self._found.add(("items_from", name, end + 1), _csv_sentence(error))

    def _columns(self, name: str, header: Sequence[str], line: int) -> Table | None:
        names = [cell.strip() for cell in header]
        problems = [*self._problems(names)]
        for text in problems:
            self._found.add(("items_from", name, line), text)
        if problems:
            return None
        self._variables.update(
            each for each in names if each not in OF_ITEMS and not each.startswith(PARAMETER)
        )
        return Table(name, names, self._found)

    def _problems(self, names: Sequence[str]) -> Iterator[str]:
        """All that is wrong with the names of the columns."""
        seen: set[str] = set()
        for column, each in enumerate(names, 1):
            if not each:
                yield f"column {column} has no name"
            elif each in seen:
                yield f"the column {quoted(each)} stands twice: rename one"
            elif each.startswith(PARAMETER):
                yield from self._of_parameter(each, names)
            elif each == STEP and self._job.steps:
                yield NO_VARIABLE
            elif each not in OF_ITEMS:
                yield from _of_variable(each)
            seen.add(each)
        if "id" not in seen:
            listed = ", ".join(map(quoted, names[:MOST_LISTED]))
            near = closest("id", [each for each in names if each])
            hint = f'; if {quoted(near)} is it, call it "id"' if near else ""
            text = f"the first line must name the columns, and no column is called id: {listed}"
            yield f"{text}{hint}"

    def _of_parameter(self, column: str, names: Sequence[str]) -> Iterator[str]:
        """That no model of the job takes a parameter."""
        parameter = column.removeprefix(PARAMETER)
        models = [*MODELS.values()]
        if "model" not in names:
            models = list(_models(self._job)) or models
        taken = {each for model in models for each in model.parameters}
        if parameter not in taken:
            hint = did_you_mean(closest(parameter, taken))
            yield f"no model of the job takes {quoted(column)}{takers(parameter)}{hint}"

    def _json_lines(self, name: str, lines: Iterator[str]) -> Iterator[tuple[int, Item]]:
        for line, text in enumerate(lines, 1):
            if len(text) >= LONGEST_LINE:
                # Its rest would be taken for the next lines.
                sentence = f"a line has {LONGEST_LINE:,} characters at most"
                self._found.add(("items_from", name, line), sentence)
                return
            if not text.isspace():
                item = self._json_item(text, ("items_from", name, line))
                if item is not None:
                    yield line, item

    def _json_item(self, text: str, at: Path) -> Item | None:
        try:
            given = self._as_item(_json_object(text))
            return _item_type().validate_python(given, context={"source": None})
        except InputError as error:
            self._found.add(at, str(error))
        except RecursionError:
            self._found.add(at, "this is not JSON: too many brackets inside each other")
        except json.JSONDecodeError as error:
            self._found.add(at, f"this is not JSON: {error.msg} at character {error.colno:,}")
        except ValidationError as error:
            for wrong in wrongs(error, ("items", 0)):
                self._found.add((*at, *wrong.complaint.path), wrong.complaint.text)
        return None

    def _as_item(self, value: Mapping[str, Any]) -> dict[str, Any]:
        item: dict[str, Any] = {}
        variables: dict[str, Any] = {}
        parameters: dict[str, Any] = {}
        for key, each in value.items():
            if each is None:
                continue
            if key in _JSON_KEYS:
                item[key] = each
            elif key.startswith(PARAMETER):
                parameters[key.removeprefix(PARAMETER)] = each
            else:
                variables[key] = each
        for key, own in (("vars", variables), ("parameters", parameters)):
            given = item.get(key, {})
            if own and isinstance(given, dict):
                for name in sorted(own.keys() & given.keys()):
                    text = f"{quoted(name)} stands in {key} and beside it: one of them must go"
                    raise InputError(text)
                item[key] = {**given, **own}
        brought = item.get("vars")
        if self._job.steps and isinstance(brought, dict) and STEP in brought:
            raise InputError(NO_VARIABLE)
        if isinstance(item.get("vars"), dict):
            self._variables.update(item["vars"])
        return item


class Table:
    """What the columns of one CSV mean."""

    def __init__(self, name: str, names: Sequence[str], found: Complaints) -> None:
        self._file = name
        self._found = found
        self._width = len(names)
        self._id = names.index("id")
        own: list[tuple[int, str, str, Callable[[str], Any]]] = []
        self._variables: list[tuple[int, str]] = []
        for column, each in enumerate(names):
            if each in TEXTS or each in NUMBERS:
                own.append((column, each, "", _READERS.get(each, str)))
            elif each.startswith(PARAMETER):
                parameter = each.removeprefix(PARAMETER)
                is_text = _kinds(parameter) <= TEXT_KINDS
                own.append((column, "parameters", parameter, str if is_text else meaning))
            elif each != "id":
                self._variables.append((column, each))
        self._own = own

    def item(self, cells: Sequence[str], line: int) -> Item | None:
        """The item of a row; None if something is wrong with it, which is then complained of."""
        if len(cells) != self._width:
            count = counted(len(cells), "cell")
            self._complain(line, f"has {count}, and the first line names {self._width} columns")
            return None
        if not "".join(cells).isascii() and any(map(_NOT_UTF8.search, cells)):
            self._complain(line, _encoding_sentence("".join(cells)))
            return None
        is_right = True
        values: dict[str, Any] = {
            "vars": {name: cells[n] for n, name in self._variables if cells[n]}
        }
        try:
            values["id"] = _identity(cells[self._id])
        except ValueError as error:
            is_right = False
            self._complain(line, str(error), "id")
        for column, key, parameter, read in self._own:
            if cell := cells[column]:
                try:
                    value = read(cell)
                except (InputError, ValueError) as error:
                    is_right = False
                    self._complain(line, str(error), *filter(None, (key, parameter)))
                    continue
                if parameter:
                    values.setdefault(key, {})[parameter] = value
                else:
                    values[key] = value
        return item_of(**values) if is_right else None

    def _complain(self, line: int, text: str, *key: str) -> None:
        self._found.add(("items_from", self._file, line, *key), text)


def _of_variable(name: str) -> Iterator[str]:
    """Why a column cannot be a variable."""
    what = f"the column {quoted(name)} cannot be a variable"
    if _NOT_UTF8.search(name):
        yield _encoding_sentence(name)
    elif not is_placeholder(name):
        near = did_you_mean(closest(name, OF_ITEMS))
        yield f"{what}; allowed: letters, digits, _ and -, a letter first, at most 100{near}"
    elif name in fields.RESERVED:
        yield f"{what}: {', '.join(fields.RESERVED)} have a meaning of their own"


def delimiter_of(line: str) -> str:
    """What stands between the names of the first line: a comma, semicolon, tab or bar."""
    bare = re.sub(r'"[^"]*"', "", line)
    return max(_DELIMITERS, key=bare.count)


def _chained(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    for line in lines:
        if len(line) >= LONGEST_LINE:
            raise csv.Error("field larger than field limit")
        if "\0" in line:
            raise csv.Error("line contains NUL")
        yield line


def _csv_sentence(error: csv.Error) -> str:
    said = str(error)
    if "NUL" in said:
        return NO_TEXT
    if "unexpected end of data" in said or "field larger" in said:
        return "a quote is opened here and never closed, or a cell has more than 131,072 characters"
    if "expected after" in said:
        return "a text follows a closing quote: write a quote inside a quoted cell twice"
    return f"this is no CSV: {said}"


def _identity(cell: str) -> str:
    if not cell:
        raise ValueError("is missing: every item needs an id of its own")
    try:
        return fields.item_id(cell)
    except ValueError as error:
        raise ValueError(f"cannot be {quoted(cell)}; {error}") from None


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    return TypeAdapter(kind).validate_python


def _read_as(kind: Any) -> Callable[[str], Any]:
    """A reader of cells that says what is allowed."""

    def read(cell: str) -> Any:
        try:
            value = meaning(cell) if kind is not fields.ModelId else cell
            return _reader(kind)(value)
        except ValidationError as error:
            raise ValueError(error.errors()[0]["msg"]) from None

    return cache(read) if kind is fields.ModelId else read


_READERS: Mapping[str, Callable[[str], Any]] = {
    "model": _read_as(fields.ModelId),
    "seed": _read_as(fields.SeedNumber),
    "variants": _read_as(fields.Variants),
}


def _encoding_sentence(text: str) -> str:
    wrong = _NOT_UTF8.search(text)
    byte = ord(wrong[0]) - 0xDC00 if wrong else 0
    return f"the byte 0x{byte:02X} is not UTF-8: save the file as UTF-8"


@cache
def _decoder() -> json.JSONDecoder:
    return json.JSONDecoder(
        parse_float=WrittenFloat,
        parse_int=_whole_number,
        parse_constant=_no_constant,
        object_pairs_hook=_object,
    )


def _json_object(text: str) -> Mapping[str, Any]:
    """The value of one line.

    Raises:
        InputError, JSONDecodeError, RecursionError: it is no JSON object in UTF-8.
    """
    if _NOT_UTF8.search(text):
        raise InputError(_encoding_sentence(text))
    value = _decoder().decode(text.strip())
    if not isinstance(value, dict):
        raise InputError('each line is a JSON object such as {"id": "mug"}')
    return value


@cache
def _item_type() -> TypeAdapter[Item]:
    return TypeAdapter(Item)


def _whole_number(text: str) -> int:
    # Python itself refuses to read a very long one.
    if len(text) > LONGEST_NUMBER:
        raise InputError(f"a number of {len(text):,} characters: put a text in quotes")
    return int(text)


def _no_constant(name: str) -> Any:
    raise InputError(f"{name} is no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InputError(f"the key {quoted(twice)} stands twice")
    return made


def _models(job: Job) -> Iterator[Model]:
    """The models that a job names outside of its rows, as far as they are known."""
    names: list[tuple[Any, Any]] = [(job.model, job.family)]
    for axes in (job.matrix, job.zip):
        for axis, values in axes.items():
            for value in values:
                if isinstance(value, Mapping):
                    names.append((value.get("model"), value.get("family")))
                elif axis == "model":
                    names.append((str(value), None))
    names += [(each.set.model, each.set.family) for each in job.override]
    for name, family in names:
        if name is not None:
            try:
                yield find(name, family)
            except UnknownModel:
                continue


def _kinds(parameter: str) -> set[str]:
    """What a parameter of this name is, of any model that takes it."""
    taken = (model.parameters.get(parameter) for model in MODELS.values())
    return {each.kind for each in taken if each is not None}


def _fixed_parts(pattern: str) -> int:
    """How many parts of a path stand before the first one with a `*` in it."""
    parts = PurePath(pattern).parts[:-1]
    return next((n for n, part in enumerate(parts) if glob.has_magic(part)), len(parts))


def _near(path: File) -> str:
    try:
        names = sorted(each.name for each in path.parent.iterdir())[:1_000]
    except OSError:
        return f": nor is there a folder {quoted(str(path.parent), fields.LONGEST_ID)}"
    return did_you_mean(closest(path.name, names))
