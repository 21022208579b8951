"""The seed of every variant, chosen when the plan is made: never 0, never left to the service.

The derived seeds of one item are a progression modulo the number of seeds, and start and step come
from a hash of its names. So they are spread like random ones, do not depend on how many variants
there are, and no two variants of an item ever have the same; independent random ones would meet
after some 65,000.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import product

DERIVATION_VERSION = "1"
"""Changes whenever `derived` would give other seeds for the same names."""
MOST = 4_294_967_294
"""Largest derived seed: what every known model takes."""


@dataclass(slots=True, kw_only=True)  # not frozen: see `PlannedItem`
class Seeds:
    """The seeds of one item's variants."""

    count: int
    """Of all seeds there are: the seeds are 1 to this."""
    first: int = 0
    """Of variant 1, counted from 0."""
    step: int = 1
    names: tuple[str, ...] = ()
    """What `first` and `step` are still derived from: a check of a plan asks for few seeds."""
    redrawn: tuple[Redrawn, ...] = ()
    """Seeds that some variants got since; the last counts."""

    def of(self, variant: int) -> int:
        """The seed of a variant; variants count from 1."""
        for each in reversed(self.redrawn):
            if each.takes(variant):
                return each.seeds.of(variant)
        if self.names:
            self._derive()
        return 1 + (self.first + (variant - 1) * self.step) % self.count

    def all_of(self, variants: Iterable[int]) -> Iterable[int]:
        """The seeds of many variants, in less time than one by one."""
        if self.redrawn:
            return map(self.of, variants)
        if self.names:
            self._derive()
        first, step, count = self.first, self.step, self.count
        return (1 + (first + (variant - 1) * step) % count for variant in variants)

    def _derive(self) -> None:
        names, self.names, count = (DERIVATION_VERSION, *self.names), (), self.count
        text = "".join([f"{len(name)}:{name}," for name in names])
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        step = 1 + int.from_bytes(digest[8:16]) % (count - 1) if count > 1 else 1
        while math.gcd(step, count) != 1:
            step += 1
        self.first, self.step = int.from_bytes(digest[:8]) % count, step


@dataclass(frozen=True, slots=True, kw_only=True)
class Redrawn:
    """Other seeds for those variants of an item that a person did not like."""

    item_id: str
    label: str
    """Of the item and its values, without the variant."""
    only: tuple[str, ...]
    """Patterns of item ids or labels; none: all."""
    seeds: Seeds
    suffix: str = ""
    """What the label ends with behind the variant: the step."""

    def takes(self, variant: int) -> bool:
        """Whether this variant gets another seed."""
        names = (self.item_id, f"{self.label}/{variant}{self.suffix}")
        return not self.only or any(fnmatchcase(*it) for it in product(names, self.only))


def derived(*names: str, seed_max: int) -> Seeds:
    """The seeds that these names stand for: a pure function of them and of the model's largest."""
    return Seeds(count=min(seed_max, MOST), names=names)


def fixed(seed: int, *, seed_max: int) -> Seeds:
    """The seeds from `seed` on, one after the other."""
    return Seeds(count=seed_max, first=seed - 1)
