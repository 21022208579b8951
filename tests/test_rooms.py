"""The rooms of the package: opaque to each other but for the names that each one offers."""

import ast
from functools import cache
from pathlib import Path

import pytest

import batchgen
from benchmarks.structure import circles, imports_by_module

PACKAGE = Path(batchgen.__file__).parent
APART = "simulator"
"""No room: a server of its own, whose one entrance import-linter guards."""
ROOMS = sorted({path.parent.name for path in PACKAGE.glob("*/__init__.py")} - {APART})
LAZY = {"bedrock"}
"""Rooms that import some of their names when they are first used: the AWS SDK takes 0.3 s."""


@cache
def tree(path):
    """The syntax of a file."""
    return ast.parse(path.read_text("utf-8"))


def offered(room):
    """The names in a room's `__all__`."""
    for statement in tree(PACKAGE / room / "__init__.py").body:
        match statement:
            case ast.Assign(targets=[ast.Name("__all__")], value=value):
                return ast.literal_eval(value)
    return []


def imports(path):
    """Every import of a module of ours in a file: line, the module's parts, names."""
    for node in ast.walk(tree(path)):
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=0):
                found = [(module, [each.name for each in names])]
            case ast.Import(names=names):
                found = [(each.name, []) for each in names]
            case _:
                continue
        for module, names in found:
            package, *parts = module.split(".")
            if package == "batchgen":
                yield node.lineno, parts, names


def strangers(path):
    """The imports of a file that reach past the door of another room."""
    home = path.relative_to(PACKAGE).parts[0]
    for line, parts, names in imports(path):
        if not parts:  # `from batchgen import plan`: what is then said of it counts
            used = [(room, attributes(path, room)) for room in names]
        else:
            used = [(parts[0], names)]
        for room, wanted in used:
            if room not in ROOMS or room == home:
                continue
            hidden = [name for name in wanted if name not in offered(room)]
            if len(parts) > 1 or hidden or not wanted:
                yield f"{path.relative_to(PACKAGE)}:{line}: {'.'.join(parts)} {' '.join(hidden)}"


def attributes(path, name):
    """What a file asks a module for that it imported under this name."""
    return [
        node.attr
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == name
    ]


def is_door(statement):
    """Whether a statement of a room's `__init__` is a docstring, an import or `__all__`."""
    match statement:
        case ast.Expr(ast.Constant(str())) | ast.Import() | ast.ImportFrom():
            return True
        case ast.Assign(targets=[ast.Name("__all__")]):
            return True
    return False


def kind(name):
    """0 for a constant, 1 for a class, 2 for a function or a module."""
    return 0 if name.isupper() else 1 if name[0].isupper() else 2


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_offers(room):
    """`__all__` is sorted as ruff sorts it: constants, classes, functions; each name once."""
    names = offered(room)

    assert names == sorted(set(names), key=lambda name: (kind(name), name))


@pytest.mark.parametrize("room", sorted({*ROOMS} - LAZY))
def test_a_door_holds_no_code(room):
    """A room's `__init__` imports and names; what it does stands in its modules."""
    body = tree(PACKAGE / room / "__init__.py").body

    assert [ast.unparse(each) for each in body if not is_door(each)] == []


def test_no_import_goes_past_a_door():
    """A module imports of another room only what the room's `__init__` offers."""
    files = [path for path in PACKAGE.rglob("*.py") if APART not in path.parts]

    assert [found for path in sorted(files) for found in strangers(path)] == []


def test_no_modules_import_each_other_in_a_circle():
    """Not even inside a function: each module can be read with those below it alone."""
    assert [circle for circle in circles(imports_by_module()) if len(circle) > 1] == []
