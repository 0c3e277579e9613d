"""How deep calls may nest on the executor's stack.

Nothing is known of a compiler's frames before there is code, and little then. So a frame is taken to be what no sound
one exceeds: its slots, two of the largest spill slots for each value that the function has and for each argument and
result of its largest call (as if all were spilled at once, with a temporary each), and something for what links and
saves. A run that nests deeper is beyond the executor: the reference is told the limit, and gives it up as it gives up
one without an end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from backend.ir.entities import Function, Signature
from fuzzer.execute import layout

_VALUE: Final = 32
_FIXED: Final = 576
"""Return address, frame pointer, every callee-saved register, a home for arguments, an outside function's
noise below the stack pointer."""
_ROOM: Final = layout.STACK_SIZE - layout.CALLER_FRAME


def depth_of(functions: Iterable[Function]) -> int:
    """Calls in calls that are sure to fit, whichever of ``functions`` they are of."""
    return max(0, _ROOM // max(map(_frame, functions)) - 1)


def _frame(function: Function) -> int:
    slots = sum(slot.size + slot.align for slot in function.stack_slots.values())
    declared = [*function.signatures.values(), function.signature]
    declared += [ref.sig for ref in function.functions.values() if isinstance(ref.sig, Signature)]
    passed = max(len(signature.params) + len(signature.returns) for signature in declared)
    return _FIXED + slots + _VALUE * (len(function.value_types) + passed)
