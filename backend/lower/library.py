# ruff: noqa: E501  # a table: one row a line
"""What has no instruction and is a function of the run-time library. Rows for :mod:`backend.lower.expand`.

``call NAME`` calls a function of :data:`SIGNATURES`. What such a function leaves undefined is looked at before the call, as
the language says: it traps, or other operands are given and the result is put right. Division: by 0, and MIN / -1
(MIN % -1 is x % 1). Conversions of floats: NaN, and what is out of range. A float is out of range of a signed integer from
2^127 on and below -2^127, of an unsigned one from 2^128 on (which is infinity, as an f32) and from -1 down; what lies between is
exact, since an integer of 128 bits has more than a float.

Source of names and parameters: the documentation of GCC's libgcc, "Routines for integer arithmetic" and "Routines
for floating point emulation"; ISO C 7.12.13.1 for fma.
"""

from __future__ import annotations

from typing import Final

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, F64, I128, Type

#: the letter of a float in names, its type, and the suffix of a function of C's
_FLOATS: Final = (("s", F32, "f"), ("d", F64, ""))


def _signature(result: Type, *params: Type) -> Signature:
    return Signature(tuple(AbiParam(type_) for type_ in params), (AbiParam(result),))


SIGNATURES: Final[dict[str, Signature]] = {
    **{f"__{name}ti3": _signature(I128, I128, I128) for name in ("udiv", "div", "umod", "mod")},
    **{f"__float{un}ti{letter}f": _signature(t, I128) for un in ("", "un") for letter, t, _ in _FLOATS},
    **{f"__fix{un}{letter}fti": _signature(I128, t) for un in ("", "uns") for letter, t, _ in _FLOATS},
    **{f"fma{suffix}": _signature(t, t, t, t) for _, t, suffix in _FLOATS},
}  # fmt: skip
"""By symbol."""

_MIN64: Final = hex(1 << 63)
_MAX64: Final = hex((1 << 63) - 1)
_BOUNDS: Final = {
    F32: {"-2^127": "0xFF000000", "2^127": "0x7F000000", "2^128": "0x7F800000", "-1": "0xBF800000"},
    F64: {
        "-2^127": "0xC7E0000000000000",
        "2^127": "0x47E0000000000000",
        "2^128": "0x47F0000000000000",
        "-1": "0xBFF0000000000000",
    },
}
"""The bits of floats."""


def _divisions() -> dict[str, str]:
    nonzero = "trapz y, int_divz; "
    return {
        "udiv": f"{nonzero}d = call __udivti3 x, y",
        "urem": f"{nonzero}d = call __umodti3 x, y",
        "sdiv": f"{nonzero}xl, xh = isplit.T x; yl, yh = isplit.T y; a = bxor.half xh, {_MIN64}; b = bor.half a, xl;"
                " m = band.half yl, yh; n = bnot.half m; o = bor.half b, n; trapz o, int_ovf; d = call __divti3 x, y",
        "srem": f"{nonzero}yl, yh = isplit.T y; m = band.half yl, yh; c = icmp.half eq m, -1; l = select.half c, 1, yl;"
                " h = select.half c, 0, yh; z = iconcat.half l, h; d = call __modti3 x, z",
        **{f"{op}_imm": f"t = iconst.half imm; s = {extend}.T t; d = {op}.T x, s"
           for op, extend in (("udiv", "uextend"), ("urem", "uextend"), ("sdiv", "sextend"), ("srem", "sextend"))},
    }  # fmt: skip


def _conversions(letter: str, float_: Type) -> dict[tuple[str, Type, Type], str]:
    """To and from i128: (opcode, T, S)."""
    f, bound = float_.name, _BOUNDS[float_]

    def compared(name: str, condition: str, to: str) -> str:
        """``name``: how x compares."""
        return f"k{name} = {f}const.{f} {bound[to]}; {name} = fcmp.{f} {condition} x, k{name}; "

    number = f"u = fcmp.{f} uno x, x; trapnz u, bad_toint; "
    inside = f"zero = {f}const.{f} 0; s = select.{f} in, x, zero; r = call __fix%s{letter}fti s; l, h = isplit.T r; "
    return {
        ("fcvt_from_sint", float_, I128): f"d = call __floatti{letter}f x",
        ("fcvt_from_uint", float_, I128): f"d = call __floatunti{letter}f x",
        ("fcvt_to_sint", I128, float_): f"{number}{compared('a', 'lt', '-2^127')}trapnz a, int_ovf;"
                                        f" {compared('b', 'ge', '2^127')}trapnz b, int_ovf; d = call __fix{letter}fti x",
        ("fcvt_to_uint", I128, float_): f"{number}{compared('a', 'le', '-1')}trapnz a, int_ovf;"
                                        f" {compared('b', 'ge', '2^128')}trapnz b, int_ovf; d = call __fixuns{letter}fti x",
        ("fcvt_to_sint_sat", I128, float_): f"{compared('a', 'lt', '-2^127')}{compared('b', 'ge', '2^127')}{compared('c', 'ge', '-2^127')}"
                                            f"e = bxor.i8 c, b; in = band.i8 e, c; {inside % ''}"
                                            f"m = select.half b, -1, l; n = select.half b, {_MAX64}, h;"
                                            f" o = select.half a, 0, m; p = select.half a, {_MIN64}, n; d = iconcat.half o, p",
        ("fcvt_to_uint_sat", I128, float_): f"{compared('b', 'ge', '2^128')}{compared('c', 'gt', '-1')}"
                                            f"e = bxor.i8 c, b; in = band.i8 e, c; {inside % 'uns'}"
                                            "m = select.half b, -1, l; n = select.half b, -1, h; d = iconcat.half m, n",
    }  # fmt: skip


ON_PAIRS: Final[dict[str, str]] = _divisions()
"""By opcode, at T = i128."""
BY_TYPES: Final = {key: text for letter, t, _ in _FLOATS for key, text in _conversions(letter, t).items()}  # fmt: skip
"""By opcode, T and S."""
FALLBACKS: Final[dict[tuple[str, Type], str]] = {
    ("fma", t): f"d = call fma{suffix} x, y, z" for _, t, suffix in _FLOATS
}
"""By opcode and T, for an ISA that has no rule for it."""
