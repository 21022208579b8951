"""What the simulator's moderation refuses: a few words, so that people can see it at work."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .faults.directive import Directive

if TYPE_CHECKING:
    from collections.abc import Iterator

_REFUSED = {
    **dict.fromkeys(("nude", "naked", "nsfw", "gore"), "filter-prompt"),
    **dict.fromkeys(("bloody", "bikini"), "filter-output"),
}


def judged(prompt: str) -> Iterator[Directive]:
    """The directive that refuses this prompt or its picture, if there is a reason to."""
    for word in re.findall(r"[a-z]+", prompt.lower()):
        if word in _REFUSED:
            yield Directive(action=_REFUSED[word])
            return
