"""Float meanings against the host's arithmetic (f64, and f32 where C rounds once) and against exact fractions."""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.ir.types import F16, F32, F64, F128, I8, I16, I32, I64, I128, Type
from fuzzer.reference.float_semantics import FLOAT_CONDITIONS, FLOAT_CONVERSIONS, FLOAT_MEANINGS
from fuzzer.reference.ieee import FORMATS
from fuzzer.reference.memory import Trap
from fuzzer.reference.open_bits import parts
from tests.conformance import exact
from tests.conformance.exact import NAN, Result

FLOATS = (F16, F32, F64, F128)
INTS = (I8, I16, I32, I64, I128)


def host(bits: int) -> float:
    return float(struct.unpack("<d", bits.to_bytes(8, "little"))[0])


def bits_of(value: float) -> Result:
    if math.isnan(value):
        return NAN
    return int.from_bytes(struct.pack("<d", value), "little")


def found(t: Type, function: Callable[..., int], *arguments: object) -> Result:
    """What a meaning gives, an open NaN as NAN; only a NaN is open, in sign and payload."""
    try:
        result = function(*arguments)
    except Trap as trap:
        return trap.code
    bits, mask = parts(result)
    if mask:
        f = FORMATS[t]
        assert (bits, mask) == (f.quiet_nan, f.sign | f.fraction_mask ^ f.quiet)
        return NAN
    return bits


def edges(t: Type) -> list[int]:
    """Numbers where something changes: zeros, subnormals, powers of two and their neighbours, the largest, NaNs."""
    f = FORMATS[t]
    one = exact.nearest(t, Fraction(1))
    positive = [0, 1, 2, f.hidden - 1, f.hidden, f.hidden + 1, one - 1, one, one + 1, one + f.hidden,
                f.infinity - 1, f.infinity, f.quiet_nan, f.infinity + 1,
                exact.nearest(t, Fraction(1, 2)), exact.nearest(t, Fraction(3, 2)), exact.nearest(t, Fraction(5, 2)),
                exact.nearest(t, Fraction(2) ** f.fraction_bits) - 1]  # fmt: skip
    return [*positive, *(x | f.sign for x in positive)]


def floats_of(t: Type) -> st.SearchStrategy[int]:
    """Bits, edges, and numbers near one, whose sums and products lie near ties more often."""
    one = exact.nearest(t, Fraction(1))
    return (
        st.integers(0, t.mask)
        | st.sampled_from(edges(t))
        | st.integers(one, one + (1 << FORMATS[t].fraction_bits))
        | st.builds(lambda x, n: x << n & t.mask, st.integers(0, 255), st.integers(0, t.bits - 1))
    )


def division(x: float, y: float) -> float:
    if y:
        return x / y
    if math.isnan(x) or x == 0:
        return math.nan
    return math.copysign(math.inf, x) * math.copysign(1.0, y)


HOST: dict[str, Callable[..., float]] = {
    "fadd": operator.add, "fsub": operator.sub, "fmul": operator.mul, "fdiv": division,
    "fneg": operator.neg, "fabs": abs, "fcopysign": math.copysign,
    "sqrt": lambda x: math.nan if x < 0 else math.sqrt(x),
}  # fmt: skip


@pytest.mark.parametrize("name", HOST)
def test_doubles_agree_with_the_host_at_the_edges(name: str) -> None:
    count = 1 if name in ("sqrt", "fneg", "fabs") else 2
    for operands in product([x for x in edges(F64) if not exact.is_nan(F64, x)], repeat=count):
        expected = bits_of(HOST[name](*map(host, operands)))
        assert found(F64, FLOAT_MEANINGS[name], F64, *operands) == expected, operands


@settings(deadline=None)
@given(st.sampled_from(sorted(HOST)), floats_of(F64), floats_of(F64))
def test_doubles_agree_with_the_host(name: str, x: int, y: int) -> None:
    operands = (x,) if name in ("sqrt", "fneg", "fabs") else (x, y)
    got = found(F64, FLOAT_MEANINGS[name], F64, *operands)
    expected = bits_of(HOST[name](*map(host, operands)))
    if expected == NAN and isinstance(got, int):
        assert exact.is_nan(F64, got)  # sign operations keep a NaN's bits
    else:
        assert got == expected


def single(value: float) -> Result:
    """A double rounded to single by the host."""
    if math.isnan(value):
        return NAN
    try:
        return int.from_bytes(struct.pack("<f", value), "little")
    except OverflowError:
        return exact.infinity(F32) | (F32.sign if value < 0 else 0)


def wide(bits: int) -> float:
    return float(struct.unpack("<f", bits.to_bytes(4, "little"))[0])


@settings(deadline=None)
@given(st.sampled_from(["fadd", "fsub", "fmul", "fdiv", "sqrt"]), floats_of(F32), floats_of(F32))
def test_singles_agree_with_the_host(name: str, x: int, y: int) -> None:
    """53 bits are at least 2 * 24 + 2, so rounding first to double does no harm to these (Figueroa 1995)."""
    operands = (x,) if name == "sqrt" else (x, y)
    expected = single(HOST[name](*map(wide, operands)))
    assert found(F32, FLOAT_MEANINGS[name], F32, *operands) == expected


@settings(deadline=None)
@given(floats_of(F32), floats_of(F64))
def test_promotion_and_demotion_agree_with_the_host(x: int, y: int) -> None:
    assert found(F64, FLOAT_CONVERSIONS["fpromote"], (F64, F32), x) == bits_of(wide(x))
    assert found(F32, FLOAT_CONVERSIONS["fdemote"], (F32, F64), y) == single(host(y))


@pytest.mark.parametrize("t", FLOATS, ids=str)
@pytest.mark.parametrize("name", exact.ARITHMETIC)
def test_edges_agree_with_fractions(name: str, t: Type) -> None:
    count = {
        "fma": 3,
        "sqrt": 1,
        "ceil": 1,
        "floor": 1,
        "trunc": 1,
        "nearest": 1,
        "fneg": 1,
        "fabs": 1,
    }.get(name, 2)
    step = (1, 1, 13 if t is F128 else 4, 397 if t is F128 else 59)[count]
    for operands in list(product(edges(t), repeat=count))[::step]:
        expected = exact.ARITHMETIC[name](t, *operands)
        assert found(t, FLOAT_MEANINGS[name], t, *operands) == expected, operands


@settings(deadline=None, max_examples=200)
@given(st.data())
def test_arithmetic_agrees_with_fractions(data: st.DataObject) -> None:
    t = data.draw(st.sampled_from(FLOATS))
    name = data.draw(st.sampled_from(sorted(exact.ARITHMETIC)))
    drawn = floats_of(t)
    x, y, z = data.draw(drawn), data.draw(drawn), data.draw(drawn)
    operands = {"fma": (x, y, z), "fcopysign": (x, y)}.get(
        name, (x, y) if name in ("fadd", "fsub", "fmul", "fdiv", "fmin", "fmax") else (x,)
    )
    assert found(t, FLOAT_MEANINGS[name], t, *operands) == exact.ARITHMETIC[name](t, *operands)


def test_a_fused_product_is_rounded_once() -> None:
    """(1 + 2^-12)^2 - (1 + 2^-11) is 2^-24 exactly; a product rounded to f32 first gives 0."""
    x = exact.nearest(F32, 1 + Fraction(1, 1 << 12))
    z = exact.nearest(F32, -1 - Fraction(1, 1 << 11))
    assert FLOAT_MEANINGS["fma"](F32, x, x, z) == exact.nearest(F32, Fraction(1, 1 << 24))
    assert FLOAT_MEANINGS["fadd"](F32, FLOAT_MEANINGS["fmul"](F32, x, x), z) == 0


def test_singles_are_not_rounded_through_doubles() -> None:
    """4097^2 + 2^-40 is just above a tie of f32; as a double it is the tie, which goes to the even neighbour below."""
    x, tiny = exact.nearest(F32, Fraction(4097)), exact.nearest(F32, Fraction(2) ** -40)
    wanted = Fraction(4097) ** 2 + Fraction(2) ** -40
    got = FLOAT_MEANINGS["fma"](F32, x, x, tiny)
    assert got == exact.nearest(F32, wanted)
    assert got != single(float(wanted))


@pytest.mark.parametrize(
    ("t", "s"), [(t, s) for t in FLOATS for s in FLOATS if t is not s], ids=str
)
def test_conversions_between_floats(t: Type, s: Type) -> None:
    name = "fpromote" if t.bits > s.bits else "fdemote"
    for x in edges(s):
        assert found(t, FLOAT_CONVERSIONS[name], (t, s), x) == exact.convert(t, s, x)


@settings(deadline=None, max_examples=80)
@given(st.sampled_from(FLOATS), st.sampled_from(INTS), st.data())
def test_conversions_with_integers(f: Type, i: Type, data: st.DataObject) -> None:
    limits = [
        Fraction(i.mask),
        Fraction(i.mask + 1),
        Fraction(i.sign),
        Fraction(-i.sign),
        Fraction(-1),
    ]
    near = [
        exact.nearest(f, n + d) for n in limits for d in (-1, Fraction(-1, 2), 0, Fraction(1, 2), 1)
    ]
    x = data.draw(floats_of(f) | st.sampled_from(near))
    n = data.draw(st.integers(0, i.mask) | st.sampled_from([0, 1, i.sign, i.sign - 1, i.mask]))
    for name in ("fcvt_to_uint", "fcvt_to_sint", "fcvt_to_uint_sat", "fcvt_to_sint_sat"):
        assert found(i, FLOAT_CONVERSIONS[name], (i, f), x) == exact.CONVERSIONS[name](i, f, x)
    for name in ("fcvt_from_uint", "fcvt_from_sint"):
        assert found(f, FLOAT_CONVERSIONS[name], (f, i), n) == exact.CONVERSIONS[name](f, i, n)


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_integers_become_the_hosts_doubles(n: int) -> None:
    assert FLOAT_CONVERSIONS["fcvt_from_sint"]((F64, I64), n % (1 << 64)) == bits_of(float(n))


@settings(deadline=None)
@given(st.sampled_from(FLOATS), st.data())
def test_conditions(t: Type, data: st.DataObject) -> None:
    x = data.draw(floats_of(t))
    y = data.draw(floats_of(t) | st.sampled_from([x, x ^ t.sign]))
    relation = exact.order(t, x, y)
    for name, holds in exact.CONDITIONS.items():
        assert FLOAT_CONDITIONS[name](t, x, y) == (relation in holds.split())


def test_the_hosts_order_is_this_one() -> None:
    for x, y in product(edges(F64), repeat=2):
        a, b = host(x), host(y)
        got = {
            name: bool(FLOAT_CONDITIONS[name](F64, x, y))
            for name in ("lt", "le", "eq", "ge", "gt", "ne")
        }
        assert got == {
            "lt": a < b,
            "le": a <= b,
            "eq": a == b,
            "ge": a >= b,
            "gt": a > b,
            "ne": a != b,
        }


def test_rounding_to_integers_is_the_hosts() -> None:
    functions: dict[str, Callable[[float], int]] = {
        "ceil": math.ceil, "floor": math.floor, "trunc": math.trunc, "nearest": round,
    }  # fmt: skip
    for x in edges(F64):
        if exact.is_nan(F64, x) or exact.is_infinite(F64, x):
            continue
        for name, function in functions.items():
            expected = math.copysign(float(function(host(x))), host(x))
            assert FLOAT_MEANINGS[name](F64, x) == bits_of(expected)
