"""The run-time library of the machine under test: what compilers call without being told to.

Each function does what the reference says that its operation means. That is no judgement of the compiler, which only
calls it: arguments and results are what is tested. Calls of it are not recorded.

Sources: ISO C 7.12 and 7.26 for the names of C; the documentation of GCC's libgcc, "Routines for integer arithmetic"
and "Routines for floating point emulation", for those on 128 bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, F64, I128, Type
from fuzzer.reference.library import LIBRARY as NAMED
from fuzzer.reference.meanings import CONVERSIONS, MEANINGS
from fuzzer.reference.memory import Memory, Trap, UndefinedBehaviour
from fuzzer.reference.open_bits import parts

Run = Callable[[Memory, list[int]], tuple[int, ...]]


class LibraryFunction(NamedTuple):
    """``run(memory, arguments)`` gives the results, of which open bits are 1. UndefinedBehaviour as the reference."""

    signature: Signature
    run: Run


def _made(params: tuple[Type, ...], result: Type, run: Run) -> LibraryFunction:
    def closed(memory: Memory, args: list[int]) -> tuple[int, ...]:
        try:
            results = run(memory, args)
        except Trap as trap:
            raise UndefinedBehaviour(trap.code) from None
        return tuple([bits | mask for bits, mask in map(parts, results)])

    signature = Signature(tuple(AbiParam(t) for t in params), (AbiParam(result),))
    return LibraryFunction(signature, closed)


def _division(name: str) -> LibraryFunction:
    meaning = next(meaning for op, meaning in MEANINGS.items() if op.name == name)
    return _made((I128, I128), I128, lambda _, args: (meaning(I128, *args),))


def _conversion(name: str, to: Type, source: Type) -> LibraryFunction:
    """Of a float out of range it gives a number that nobody would expect. A compiler may convert first and look
    whether it should have afterwards, so the call breaks no promise."""
    meaning = CONVERSIONS[name]

    def run(_: Memory, args: list[int]) -> tuple[int, ...]:
        try:
            return (meaning((to, source), *args),)
        except Trap:
            return (_OUT_OF_RANGE,)

    return _made((source,), to, run)


_OUT_OF_RANGE: Final = 0x5DEA_D0F1_0A75_0FF5_C0DE_BAD5_EED5_1AB5
"""128 bits."""


_FLOATS: Final = (("s", F32), ("d", F64))
_C_NAMES: Final = {
    **{f"{name}{suffix}": f"%{named}F{bits}"
       for name, named in (("ceil", "Ceil"), ("floor", "Floor"), ("trunc", "Trunc"), ("nearbyint", "Nearest"),
                           ("rint", "Nearest"), ("roundeven", "Nearest"), ("fma", "Fma"))
       for suffix, bits in (("f", 32), ("", 64))},
    **{f"mem{name}": f"%Mem{name}" for name in ("cpy", "move", "set", "cmp")},
}  # fmt: skip

LIBRARY: Final[dict[str, LibraryFunction]] = {
    **{name: _made(*row) for name, row in NAMED.items()},
    **{name: _made(*NAMED[named]) for name, named in _C_NAMES.items()},
    **{f"__{name}ti3": _division(operation)
       for name, operation in (("udiv", "udiv"), ("div", "sdiv"), ("umod", "urem"), ("mod", "srem"))},
    **{f"__float{un}ti{letter}f": _conversion(f"fcvt_from_{sign}int", t, I128)
       for un, sign in (("", "s"), ("un", "u")) for letter, t in _FLOATS},
    **{f"__fix{un}{letter}fti": _conversion(f"fcvt_to_{sign}int", I128, t)
       for un, sign in (("", "s"), ("uns", "u")) for letter, t in _FLOATS},
}  # fmt: skip
"""Functions by symbol: a name of CLIF's begins with %, one of C's does not."""

C_NAME: Final = {named: name for name, named in _C_NAMES.items()}
"""What C calls a function that CLIF has a name for, or one of those that do the same."""
