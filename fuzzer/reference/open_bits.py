"""Bits that the language leaves open: the sign and payload of a NaN that arithmetic made.

The result of ``fadd`` and its like may be any quiet NaN: another sign and payload on another machine, and none of
them is wrong. So such a result is an :class:`Open` here, a value of which some bits are not known, and is
carried soundly: *no outcome ever states a bit that a right compiler may give otherwise.*

- What moves or combines bits one by one (band, select, bitcast, shifts by a known amount, fneg, a store and
  a load) is done exactly: :data:`BY_CORNERS`.
- Arithmetic on floats takes any NaN alike, so that an open NaN is a known operand to it: :data:`OF_NANS`.
- Compares of integers are known if they come out alike for the extremes: :data:`OF_ORDER`.
- Of any other operation the result is open in all its bits, which is always true.
- Where a run would have to know an open bit to go on (a branch, an address, a trap that may happen), it raises
  :class:`Undetermined`: the case has no meaning. So does any use of an Open as an int that was forgotten
  here: an Open has no arithmetic.

What a function returns or stores with open bits is said in its outcome (``Returned.open_values``), where a
comparison leaves them out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any, Final, NoReturn

from backend.ir.opcodes import Opcode, find_opcode
from backend.ir.types import Type
from fuzzer.reference.ieee import FORMATS, is_nan
from fuzzer.reference.memory import UndefinedBehaviour

Meaning = Callable[..., Any]


class Undetermined(UndefinedBehaviour):
    """What happens next depends on bits that the language leaves open."""


class Open:
    """A value of which the bits in ``mask`` (not 0) are open; ``bits`` has zeros there."""

    __slots__ = ("bits", "mask")

    def __init__(self, bits: int, mask: int) -> None:
        self.bits = bits
        self.mask = mask

    def __bool__(self) -> bool:
        if not self.bits:
            _refuse(self)
        return True

    def __repr__(self) -> str:
        return f"Open({self.bits:#x}, {self.mask:#x})"


def _refuse(*_: object) -> NoReturn:
    raise Undetermined("this depends on bits of a NaN that the language leaves open")


for _name in (
    "add",
    "sub",
    "mul",
    "mod",
    "floordiv",
    "divmod",
    "lshift",
    "rshift",
    "and",
    "or",
    "xor",
):
    setattr(Open, f"__{_name}__", _refuse)
    setattr(Open, f"__r{_name}__", _refuse)
for _name in ("eq", "ne", "lt", "le", "gt", "ge", "neg", "invert", "abs", "int", "index", "format", "hash",
              "getattr"):  # fmt: skip
    setattr(Open, f"__{_name}__", _refuse)


def made(bits: int, mask: int) -> int:
    """A value from its known bits and the mask of its open ones; a plain int if none is open."""
    if mask == 0:
        return bits
    return Open(bits & ~mask, mask)  # type: ignore[return-value]  # stands among ints, refuses what they do


def parts(value: object) -> tuple[int, int]:
    """(bits, mask of the open ones) of a value; open bits are 0."""
    if isinstance(value, Open):
        return value.bits, value.mask
    assert isinstance(value, int)
    return value, 0


# -- what an operation makes of open bits -----------------------------------------------------------------------


def _corners(value: object) -> tuple[int, ...]:
    """The value with its open bits all 0, and all 1."""
    bits, mask = parts(value)
    return (bits, bits | mask) if mask else (bits,)


def _joined(results: Sequence[int]) -> int:
    """The value of which all of these are possible, and whatever bits they differ in."""
    first, mask = results[0], 0
    for other in results:
        mask |= first ^ other
    return made(first & ~mask, mask)


def _by_corners(
    function: Meaning, t: Any, operands: tuple[Any, ...], masks: tuple[int, ...]
) -> Any:
    """Exact where a result bit depends on at most one bit of each operand, or on whether one is zero."""
    results = [function(t, *corner) for corner in product(*map(_corners, operands))]
    if isinstance(results[0], tuple):
        return tuple([_joined(part) for part in zip(*results, strict=True)])
    return _joined(results)


def _shifted(function: Meaning, t: Any, operands: tuple[Any, ...], masks: tuple[int, ...]) -> Any:
    if isinstance(operands[1], Open):
        return made(0, masks[0])
    return _by_corners(function, t, operands, masks)


def _unknown(function: Meaning, t: Any, operands: tuple[Any, ...], masks: tuple[int, ...]) -> Any:
    return made(0, masks[0]) if len(masks) == 1 else tuple([made(0, mask) for mask in masks])


def _of_nans(function: Meaning, t: Any, operands: tuple[Any, ...], masks: tuple[int, ...]) -> Any:
    """Every NaN is alike to a float operation; a float of which more is open may be anything."""
    source = FORMATS[t[1] if isinstance(t, tuple) else t]
    for operand in operands:
        if isinstance(operand, Open) and not is_nan(source, operand.bits):
            return _unknown(function, t, operands, masks)
    return function(t, *[parts(operand)[0] for operand in operands])


def _of_order(function: Meaning, t: Any, operands: tuple[Any, ...], masks: tuple[int, ...]) -> Any:
    """A compare, if its smallest and largest operands all give the same; an equality, if a known bit differs."""
    (x, x_mask), (y, y_mask) = parts(operands[0]), parts(operands[1])
    if (x ^ y) & ~(x_mask | y_mask):
        # They differ. So an equality is known, and the rest of the answer is the order's.
        pass
    elif function(t, 0, 0) != function(t, 0, 1) and function(t, 0, 1) == function(t, 1, 0):
        return made(0, masks[0])  # eq or ne of what may be the same
    results = {function(t, a, b) for a in _extremes(t, x, x_mask) for b in _extremes(t, y, y_mask)}
    return results.pop() if len(results) == 1 else made(0, masks[0])


def _extremes(t: Type, bits: int, mask: int) -> tuple[int, ...]:
    """The smallest and largest numbers it may be, unsigned and signed."""
    low = mask & ~t.sign
    sign = mask & t.sign
    return (bits, bits | low, bits | sign, bits | mask)


Transfer = Callable[[Meaning, Any, tuple[Any, ...], tuple[int, ...]], Any]

SHIFTS: Final = ("ishl", "ushr", "sshr", "rotl", "rotr")
BY_CORNERS: Final = (
    "band", "bor", "bxor", "bnot", "band_not", "bor_not", "bxor_not", "bitselect", "select",
    "select_spectre_guard", "bmask", "uextend", "sextend", "ireduce", "iconcat", "isplit", "bswap", "bitrev",
    "fneg", "fabs", "fcopysign", "bitcast",
)  # fmt: skip
OF_ORDER: Final = ("icmp", "icmp_imm")
OPEN_RESULTS: Final = frozenset({
    "fadd", "fsub", "fmul", "fdiv", "sqrt", "fma", "fmin", "fmax", "ceil", "floor", "trunc", "nearest",
    "fpromote", "fdemote",
})  # fmt: skip
"""Opcodes whose NaN results have open bits, and that a compiler with NaN canonicalization makes canonical."""
OF_NANS: Final = (
    *sorted(OPEN_RESULTS), "fcmp", "fcvt_to_uint", "fcvt_to_sint", "fcvt_to_uint_sat", "fcvt_to_sint_sat",
)  # fmt: skip

_TRANSFERS: Final[dict[Opcode, Transfer]] = {
    op: transfer
    for names, transfer in (
        (SHIFTS, _shifted),
        (BY_CORNERS, _by_corners),
        (OF_ORDER, _of_order),
        (OF_NANS, _of_nans),
    )
    for name in names
    if (op := find_opcode(name)) is not None
}
if len(_TRANSFERS) != len({*SHIFTS, *BY_CORNERS, *OF_ORDER, *OF_NANS}):
    raise ValueError("a name of open_bits.py is no opcode")


def lifted(op: Opcode, function: Meaning, masks: tuple[int, ...]) -> Meaning:
    """``function``, made to take operands with open bits. ``masks``: all bits of each result's type."""
    transfer = _TRANSFERS.get(op, _unknown)
    may_trap = bool(op.traps)

    def lift(t: Any, *operands: Any) -> Any:
        for operand in operands:
            if operand.__class__ is Open:
                break
        else:
            return function(t, *operands)
        result = transfer(function, t, operands, masks)
        if may_trap and result.__class__ is Open:
            _refuse()  # it might have trapped
        return result

    return lift


def canonical(op: Opcode, function: Meaning) -> Meaning:
    """``function`` with its open NaNs made the canonical one: sign and payload 0."""
    if op.name not in OPEN_RESULTS:
        return function

    def without_open_bits(t: Any, *operands: Any) -> Any:
        return parts(function(t, *operands))[0]

    return without_open_bits
