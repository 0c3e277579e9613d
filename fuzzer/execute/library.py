"""The run-time library of the machine under test: what compilers call without being told to.

Each function does what the reference says that its operation means. That is no judgement of the compiler, which only
calls it: arguments and results are what is tested. Calls of it are not recorded.

Sources: ISO C 7.12 and 7.26 for the names of C; the documentation of GCC's libgcc, "Routines for integer arithmetic"
and "Routines for floating point emulation", for those on 128 bits; Run-time ABI for the Arm
Architecture, 4.1.2 and 4.3.1, for those of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final, Literal, NamedTuple

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, F64, I32, I64, I128, Type
from fuzzer.case import byte_order_of
from fuzzer.execute.machines import Machine
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


def _divmod(sign: str) -> LibraryFunction:
    """Quotient and remainder of 64 bits."""
    division, rest = (next(meaning for op, meaning in MEANINGS.items() if op.name == f"{sign}{name}")
                      for name in ("div", "rem"))  # fmt: skip

    def run(_: Memory, args: list[int]) -> tuple[int, ...]:
        try:
            return division(I64, *args), rest(I64, *args)
        except Trap as trap:
            raise UndefinedBehaviour(trap.code) from None

    both = (AbiParam(I64), AbiParam(I64))
    return LibraryFunction(Signature(both, both), run)


_HELPERS: Final[dict[str, LibraryFunction]] = {
    **{f"__aeabi_{letter}ldivmod": _divmod(letter or "s") for letter in ("", "u")},
    **{f"__aeabi_{un}l2{letter}": _conversion(f"fcvt_from_{sign}int", t, I64)
       for un, sign in (("", "s"), ("u", "u")) for letter, t in (("f", F32), ("d", F64))},
    **{f"__aeabi_{letter}2{un}lz": _conversion(f"fcvt_to_{sign}int", I64, t)
       for un, sign in (("", "s"), ("u", "u")) for letter, t in (("f", F32), ("d", F64))},
}  # fmt: skip
"""Of the run-time ABI for Arm."""


def _shift(name: str) -> LibraryFunction:
    """Of 128 bits by an int; by 128 or more it is undefined."""
    meaning = next(meaning for op, meaning in MEANINGS.items() if op.name == name)

    def run(_: Memory, args: list[int]) -> tuple[int, ...]:
        if args[1] >= I128.bits:
            raise UndefinedBehaviour(f"a shift by {args[1]}")
        return (meaning(I128, *args),)

    return _made((I128, I32), I128, run)


_SHIFTS: Final[dict[str, LibraryFunction]] = {
    f"__{name}ti3": _shift(operation)
    for name, operation in (("ashl", "ishl"), ("lshr", "ushr"), ("ashr", "sshr"))
}
"""Of libgcc; on other machines compilers do these themselves."""

_WIDE_BYTES: Final = 16


def _by_address(function: LibraryFunction, order: Literal["little", "big"]) -> LibraryFunction:
    """``function`` where an i128 is passed by the address of a copy, and one that is returned goes to an address that
    is passed first (s390x ELF ABI supplement, "Parameter passing" and "Return values")."""
    params, returns = function.signature.params, function.signature.returns
    wide = [param.type is I128 for param in params]
    returned = [param.type is I128 for param in returns]
    if not any((*wide, *returned)):
        return function

    def run(memory: Memory, args: list[int]) -> tuple[int, ...]:
        areas, given = args[: sum(returned)], args[sum(returned) :]
        values = [
            int.from_bytes(memory.load(value, _WIDE_BYTES, None), order) if is_wide else value
            for value, is_wide in zip(given, wide, strict=True)
        ]
        results = function.run(memory, values)
        for area in areas:
            memory.store(area, results[0].to_bytes(_WIDE_BYTES, order), None)
        return () if areas else results

    passed = [AbiParam(I64)] * sum(returned)
    passed += [
        AbiParam(I64) if is_wide else param for param, is_wide in zip(params, wide, strict=True)
    ]
    return LibraryFunction(Signature(tuple(passed), () if any(returned) else returns), run)


@cache
def _with_addresses(isa: str) -> dict[str, LibraryFunction]:
    order = byte_order_of(isa)
    return {name: _by_address(function, order) for name, function in (LIBRARY | _SHIFTS).items()}


@cache
def _library(isa: str, word: int) -> dict[str, LibraryFunction]:
    """By the conventions of a machine on which functions are called by context and those of the library are not."""
    made = {
        name: function
        if name.startswith("%")
        else _called(function, "library", word if name.startswith("mem") else 64)
        for name, function in LIBRARY.items()
    }
    if isa == "arm":
        made |= {name: _called(function, "soft_library", 64) for name, function in _HELPERS.items()}
    return made


def _called(function: LibraryFunction, convention: str, word: int) -> LibraryFunction:
    """``function`` by ``convention``, where an i64 has ``word`` bits."""
    params, returns = (
        tuple(AbiParam(I32) if p.type is I64 and word == 32 else p for p in side)
        for side in (function.signature.params, function.signature.returns)
    )
    return function._replace(signature=Signature(params, returns, convention))


def library_of(machine: Machine) -> dict[str, LibraryFunction]:
    """The run-time library of a machine."""
    if machine.conventions[""].pairs == "address":
        return _with_addresses(machine.name)
    convention = machine.conventions.get("library")
    return _library(machine.name, convention.word) if convention is not None else LIBRARY
