"""The shape of the package: modules and lines in each room, floors and circles of its imports.

    python -m benchmarks.structure

A floor is one step of the longest chain of imports, imports for types alone left out; what imports
each other in a circle stands on one floor. Counted are rooms as wholes, the modules inside each
room, and all modules with the rooms' `__init__` among them, which adds a floor for each room.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path

import grimp

PACKAGE = "batchgen"


def imports_by_module() -> dict[str, set[str]]:
    """Module -> the modules of the package that it imports, the simulator's left out."""
    graph = grimp.build_graph(PACKAGE, exclude_type_checking_imports=True)
    modules = {name for name in graph.modules if not name.startswith(f"{PACKAGE}.simulator")}
    return {name: graph.find_modules_directly_imported_by(name) & modules for name in modules}


def circles(imports: Mapping[str, AbstractSet[str]]) -> list[set[str]]:
    """The strongly connected parts of the graph, lowest first (Tarjan)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        number[name] = low[name] = len(number)
        stack.append(name)
        for other in sorted(imports[name]):
            if other not in number:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], number[other])
        if low[name] == number[name]:
            start = stack.index(name)
            found.append(set(stack[start:]))
            del stack[start:]

    for name in sorted(imports):
        if name not in number:
            visit(name)
    return found


def floors(imports: Mapping[str, AbstractSet[str]]) -> int:
    """Modules in the longest chain of imports."""
    height: dict[str, int] = {}
    for circle in circles(imports):  # lowest first: all that it imports has its height
        below = {other for name in circle for other in imports[name]} - circle
        here = 1 + max((height[other] for other in below), default=0)
        height.update(dict.fromkeys(circle, here))
    return max(height.values())


def room_of(module: str) -> str:
    """The room of a module; a module at the top is a room of its own."""
    return module.split(".")[1] if "." in module else module


def imports_by_room(imports: Mapping[str, AbstractSet[str]]) -> dict[str, set[str]]:
    """Room -> the rooms that its modules import."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, others in imports.items():
        found[room_of(name)] |= {room_of(other) for other in others} - {room_of(name)}
    return dict(found)


def imports_inside(imports: Mapping[str, AbstractSet[str]], room: str) -> dict[str, set[str]]:
    """The same as `imports`, of one room's modules but its `__init__`."""
    inside = {name for name in imports if room_of(name) == room and name.count(".") > 1}
    return {name: set(imports[name]) & inside for name in inside}


def lines_by_room() -> dict[str, tuple[int, int]]:
    """Room, or the top -> its modules and their lines."""
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for path in Path(PACKAGE).rglob("*.py"):
        inside = path.relative_to(PACKAGE)
        room = inside.parts[0] if len(inside.parts) > 1 else "(top)"
        modules, lines = found[room]
        found[room] = (modules + 1, lines + len(path.read_text("utf-8").splitlines()))
    return dict(found)


def main() -> None:
    rooms = lines_by_room()
    for room, (modules, lines) in sorted(rooms.items()):
        print(f"{room:12} {modules:4} modules {lines:6,} lines")
    apart = rooms["simulator"][1]
    total = sum(lines for _, lines in rooms.values())
    print(f"{'all':12} {total:19,} lines, {total - apart:,} without the simulator")
    imports = imports_by_module()
    by_room = imports_by_room(imports)
    inside = {room: found for room in by_room if (found := imports_inside(imports, room))}
    deepest = max(((floors(found), room) for room, found in inside.items()), default=(0, "none"))
    print(f"floors: {floors(by_room)} of rooms, at most {deepest[0]} inside one ({deepest[1]}), ")
    print(f"        {floors(imports)} of modules")
    real = [circle for circle in circles(imports) if len(circle) > 1]
    print(f"circles: {len(real)}")
    for circle in real:
        print("  " + ", ".join(sorted(circle)))


if __name__ == "__main__":
    main()
