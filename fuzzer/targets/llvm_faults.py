"""Faults of LLVM that are known, so that a campaign doesn't find them again and again.

A row excludes what it describes, as unsupported and with its reason. Each is replayed by a test without the exclusion,
so that a version of LLVM which has it no more is noticed, and the row goes.
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
    """``isa``: where; ``levels``: of the code generator; ``hits(signature, shape)``: is a ``musttail`` call of such a
    function wrong there? ``since``: the version in which it was seen."""

    isa: str
    levels: frozenset[int]
    hits: Callable[[Signature, Shape], bool]
    since: str
    what: str


_EVERY_LEVEL: Final = frozenset({0, 1, 2, 3})

TAIL_CALL_FAULTS: list[Fault] = [
    Fault("x86_64", _EVERY_LEVEL, lambda _, shape: shape.passing.stack > 0, "22.1.0",
          "musttail calls of tailcc functions store no stack arguments"),
    Fault("aarch64", frozenset({0}), lambda s, _: any(p.type is I128 for p in s.params), "22.1.0",
          "GlobalISel puts the halves of an i128 in registers that are not neighbours in musttail calls"),
]  # fmt: skip


def refuse_tail_call(isa: str, level: int, signature: Signature, shape: Shape) -> None:
    """Unsupported if LLVM is known to compile a ``musttail`` call of such a function wrongly."""
    for fault in TAIL_CALL_FAULTS:
        if fault.isa == isa and level in fault.levels and fault.hits(signature, shape):
            raise Unsupported(f"known fault of LLVM {fault.since}: {fault.what}")
