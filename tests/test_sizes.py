"""Small by measurement: what does not fit on a screen or two is two things."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("batchgen", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
)
MODULE_LINES = 250
FUNCTION_LINES = 40
PARAMETERS = 6

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(source):
    """Every function of a module, methods and inner ones included."""
    tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def parameters(function):
    """How many arguments a caller may give; `self` and `cls` are given by Python."""
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    return sum(each.arg not in ("self", "cls") for each in named)


@pytest.mark.parametrize("source", SOURCES)
def test_a_module_is_short(source):
    """A module has one responsibility, and 250 lines for it."""
    lines = len((ROOT / source).read_text(encoding="utf-8").splitlines())

    assert lines <= MODULE_LINES, f"{source} has {lines} lines: it is two modules"


@pytest.mark.parametrize("source", SOURCES)
def test_a_function_is_short(source):
    """A function does one thing in 40 lines, its docstring included."""
    long = [
        f"{function.name} ({length} lines)"
        for function in functions(source)
        if (length := function.end_lineno - function.lineno + 1) > FUNCTION_LINES
    ]

    assert not long, f"{source}: {', '.join(long)}"


@pytest.mark.parametrize("source", SOURCES)
def test_a_function_has_few_parameters(source):
    """More than six belong together, and together they have a name."""
    many = [function.name for function in functions(source) if parameters(function) > PARAMETERS]

    assert not many, f"{source}: {', '.join(many)}"


@pytest.mark.parametrize("source", SOURCES)
def test_a_module_says_what_it_is_for(source):
    """Its first statement is a sentence of its responsibility."""
    tree = ast.parse((ROOT / source).read_text(encoding="utf-8"))

    assert ast.get_docstring(tree), f"{source} begins without a docstring"
