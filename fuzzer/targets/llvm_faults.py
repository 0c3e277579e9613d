"""Faults of LLVM that are known, so that a campaign doesn't find them again and again.

A row excludes what it describes, as unsupported and with its reason, and more where what it takes can't be told from
the function alone. Each is replayed by a test without the exclusion, so that a version of LLVM which has it no more
is noticed, and the row goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.errors import Unsupported
from backend.ir.entities import Signature
from backend.ir.types import I128

if TYPE_CHECKING:
    from fuzzer.targets.llvm_calls import Shape


class Fault(NamedTuple):
    """``isa``: where; ``levels``: of the code generator; ``how``: "call", "musttail call" or "function" (of blocks);
    ``hits(signature, shape, own)``: is such a call of a ``tailcc`` function of these wrong in one of the shape ``own``?
    ``seen``: the version in which it was seen; ``thread``: of LLVM's on it, or ""."""

    isa: str
    levels: frozenset[int]
    how: str
    hits: Callable[[Signature, Shape, Shape], bool]
    seen: str
    what: str
    thread: str = ""


def _on_stack(_: Signature, shape: Shape, own: Shape) -> bool:
    return shape.passing.stack > 0


def _either_on_stack(_: Signature, shape: Shape, own: Shape) -> bool:
    return shape.passing.stack > 0 or own.passing.stack > 0


def _has_pair(signature: Signature, _: Shape, own: Shape) -> bool:
    return any(param.type is I128 for param in signature.params)


def _pair_on_stack(signature: Signature, shape: Shape, own: Shape) -> bool:
    params = signature.params
    on_stack = {piece.value for piece in shape.passing.args if piece.register < 0}
    return any(params[value].type is I128 for value in on_stack if value < len(params))


_EVERY_LEVEL: Final = frozenset({0, 1, 2, 3})

CALL_FAULTS: list[Fault] = [
    Fault("x86_64", _EVERY_LEVEL, "musttail call", _either_on_stack, "22.1.0",
          "no stack arguments are stored, and the caller's own are left",
          "llvm-project #199224, mended by #199691"),
    Fault("aarch64", frozenset({0}), "musttail call", _has_pair, "22.1.0",
          "the halves of an i128 go to registers that are not neighbours", "llvm-project #213811"),
    Fault("aarch64", frozenset({0}), "call", _on_stack, "22.1.0",
          "what is reloaded behind the call is looked for from a stack pointer that is not yet put back"),
    Fault("x86_64", _EVERY_LEVEL, "call", _pair_on_stack, "22.1.0",
          "caller and callee do not agree in what is popped where an i128 is on the stack"),
    Fault("aarch64", _EVERY_LEVEL - {0}, "function", _on_stack, "22.1.0",
          "a path that needs no frame does not pop the stack arguments if another needs one (shrink-wrapping)"),
]  # fmt: skip


def refuse_faulty(
    isa: str, level: int, how: str, signature: Signature, shape: Shape, own: Shape
) -> None:
    """Unsupported if LLVM is known to compile such a call of a ``tailcc`` function, or such a function, wrongly."""
    for fault in CALL_FAULTS:
        if (
            (fault.isa, fault.how) == (isa, how)
            and level in fault.levels
            and fault.hits(signature, shape, own)
        ):
            known = f" ({fault.thread})" if fault.thread else ""
            raise Unsupported(
                f"known fault of LLVM {fault.seen}, {how} of tailcc: {fault.what}{known}"
            )
