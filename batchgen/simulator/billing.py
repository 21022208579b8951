"""What a call costs. AWS does not say whether refused requests do, so that is an option."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from .catalog import price
from .result import Finish

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .calls import Call
    from .faults.directive import Directive
    from .options import Options

NOTHING = Decimal(0)


def charge(
    call: Call,
    body: dict[str, Any],
    finish: Finish | None,
    directives: Iterable[Directive],
    options: Options,
) -> Decimal:
    """USD for a call whose generation ended so; None stands for a call that made nothing."""
    if call.model is None:
        return NOTHING
    full = price(call.model, body)
    for directive in directives:
        if directive.charged is not None:
            return full if directive.charged else NOTHING
    return full if _costs(finish, options) else NOTHING


def _costs(finish: Finish | None, options: Options) -> bool:
    if finish is Finish.DONE:
        return True
    if finish is Finish.OUTPUT:
        return options.bill_filtered != "never"
    return finish in {Finish.PROMPT, Finish.INPUT} and options.bill_filtered == "always"
