"""The expected values of our filetests, worked out again by other means than the interpreter's.

Of every function that is one operation on its parameters, each run line is recomputed: floats by
:mod:`tests.conformance.exact`, integers of 128 bits by Python's own. Other functions were worked out by hand.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from math import trunc
from pathlib import Path

import pytest

from backend.ir.entities import Function, Inst
from backend.ir.filetest import parse_file
from backend.ir.types import I128, Type
from tests.conformance import exact
from tests.conformance.exact import NAN, Result

FILES = sorted(Path(__file__).parent.glob("*.clif"))


def signed(t: Type, bits: int) -> int:
    return int.from_bytes(bits.to_bytes(t.bytes, "big"), "big", signed=True)


def quotient(x: int, y: int) -> int:
    return trunc(exact.Fraction(x, y))


def text(t: Type, x: int) -> str:
    return format(x, f"0{t.bits}b")


UNSIGNED: dict[str, Callable[[int, int], int]] = {
    "udiv": operator.floordiv, "urem": operator.mod, "umin": min, "umax": max,
    "band": operator.and_, "bor": operator.or_, "bxor": operator.xor,
    "ishl": lambda x, n: x * 2 ** (n % 128), "ushr": lambda x, n: x // 2 ** (n % 128),
}  # fmt: skip
SIGNED: dict[str, Callable[..., int]] = {
    "iadd": operator.add, "isub": operator.sub, "imul": operator.mul, "sdiv": quotient,
    "srem": lambda x, y: x - y * quotient(x, y), "smin": min, "smax": max,
    "ineg": operator.neg, "iabs": abs, "bnot": operator.invert,
    "smulhi": lambda x, y: x * y // 2**128,
}  # fmt: skip
BITS: dict[str, Callable[[str], int]] = {
    "clz": lambda b: len(b) - len(b.lstrip("0")),
    "ctz": lambda b: len(b) - len(b.rstrip("0")),
    "cls": lambda b: len(b) - len(b.lstrip(b[0])) - 1,
    "popcnt": lambda b: b.count("1"),
    "bitrev": lambda b: int(b[::-1], 2),
}


def integer(inst: Inst, t: Type, args: tuple[int, ...]) -> Result | None:
    """An operation on i128, or None if it is not known here."""
    name = inst.op.name
    if name in UNSIGNED:
        return UNSIGNED[name](*args) % 2**128
    if name in SIGNED:
        return SIGNED[name](*(signed(t, x) for x in args)) % 2**128
    if name in BITS:
        return BITS[name](text(t, args[0]))
    if name == "umulhi":
        return args[0] * args[1] // 2**128
    if name in ("rotl", "rotr"):
        bits, n = text(t, args[0]), args[1] % 128 * (1 if name == "rotl" else -1)
        return int(bits[n:] + bits[:n], 2)
    if name == "icmp":
        a, b = (signed(t, x) for x in args) if inst.keyword[0] == "s" else args
        order = inst.keyword if inst.keyword in ("eq", "ne") else inst.keyword[1:]
        return int(getattr(operator, order)(a, b))
    return None


def recomputed(function: Function, args: tuple[int, ...]) -> Result | None:
    """What the function's one operation gives; None if it is no such function, or an operation not known here."""
    insts = function.entry.insts
    is_nan = len(insts) == 3 and insts[1].op.name == "fcmp" and insts[1].keyword == "uno"
    inst = insts[0]
    if (
        len(function.blocks) != 1
        or not inst.args
        or inst.args != tuple(function.entry.params)
        or len(inst.results) != 1
    ):
        return None
    if not is_nan and (len(insts) != 2 or insts[1].args != inst.results):
        return None
    name, t, s = inst.op.name, inst.type, function.value_types[inst.args[0]]
    result: Result | None = None
    if t is None:
        return None
    if name in exact.ARITHMETIC:
        result = exact.ARITHMETIC[name](t, *args)
    elif name in exact.CONVERSIONS:
        result = exact.CONVERSIONS[name](t, s, *args)
    elif name == "fcmp":
        result = int(exact.order(s, *args) in exact.CONDITIONS[inst.keyword].split())
    elif s is I128 and (t is I128 or name == "icmp"):
        result = integer(inst, I128, args)
    if is_nan and result is not None:
        return int(result == NAN)
    return result


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_what_is_expected_is_what_exact_arithmetic_says(path: Path) -> None:
    counted = 0
    for entry in parse_file(path.read_text()).functions:
        for line in entry.run_lines:
            if line.name != entry.function.name:
                continue
            result = recomputed(entry.function, line.args)
            if result is None:
                continue
            assert line.compare == "=="
            assert line.expected == (result,), line.text
            counted += 1
    if path.stem.startswith(("float_", "int_to_float", "i128_")) and "values" not in path.stem:
        assert counted > 20
