# ruff: noqa: E501  # a table: one row a line
"""i128 as pairs of i64: what each operation on 128 bits comes to on the halves. Rows for :mod:`backend.lower.expand`.

``xl xh`` are the halves of ``x``, ``l h`` those of the result. Only what takes no carry and no flags is here, so that it
is no worse than an ISA's own rule would be: an ISA has rules for ``isplit`` and ``iconcat`` (which are moves), for ``ireduce``
from i128, and for adding, negating, comparing, selecting and testing pairs.
"""

from __future__ import annotations

from typing import Final


def _on_halves(text: str, operands: str) -> str:
    """``text``, which makes ``l`` and ``h`` of the halves of ``operands``."""
    split = "".join(f"{x}l, {x}h = isplit.T {x}; " for x in operands)
    return f"{split}{text}; d = iconcat.half l, h"


#: the amount modulo 256, its complement, and whether it is 64 or more (modulo 128)
_AMOUNT: Final = "n = ireduce.i8 y; m = bnot.i8 n; b = band.i8 n, 64; "


def _shift_left(low: str, high: str) -> str:
    """``s``: ``low`` shifted left, ``u``: ``high`` shifted left with what leaves ``low`` moved in; for n below 64.
    (Shifted by one and by 63 - n, since by 64 it would be by 0.)"""
    return (f"s = ishl.half {low}, n; a = ushr.half {low}, 1; c = ushr.half a, m;"
            f" e = ishl.half {high}, n; u = bor.half e, c; ")  # fmt: skip


def _shift_right(low: str, high: str, op: str) -> str:
    """``s``: ``high`` shifted right by ``op``, ``u``: ``low`` shifted right with what leaves ``high`` moved in."""
    return (f"s = {op}.half {high}, n; a = ishl.half {high}, 1; c = ishl.half a, m;"
            f" e = ushr.half {low}, n; u = bor.half e, c; ")  # fmt: skip


def _rotate(back: str, ahead: str) -> str:
    """Halves exchanged for amounts of 64 and more, then each shifted by ``back`` with the other's bits moved in."""
    sides = "; ".join(
        f"a{p} = {ahead}.half {other}, 1; c{p} = {ahead}.half a{p}, m; e{p} = {back}.half {own}, n; {p} = bor.half e{p}, c{p}"
        for p, own, other in (("l", "p", "q"), ("h", "q", "p"))
    )
    return "p = select.half b, xh, xl; q = select.half b, xl, xh; " + sides


PAIRS: Final[dict[str, str]] = {
    # ---- bits
    **{op: _on_halves(f"l = {op}.half xl, yl; h = {op}.half xh, yh", "xy") for op in ("band", "bor", "bxor")},
    "bnot": _on_halves("l = bnot.half xl; h = bnot.half xh", "x"),
    "bitselect": _on_halves("l = bitselect.half xl, yl, zl; h = bitselect.half xh, yh, zh", "xyz"),
    **{op: _on_halves(f"l = {op}.half xh; h = {op}.half xl", "x") for op in ("bitrev", "bswap")},
    "popcnt": _on_halves("a = popcnt.half xl; b = popcnt.half xh; l = iadd.half a, b; h = iconst.half 0", "x"),
    "clz": _on_halves("a = clz.half xh; b = clz.half xl; c = iadd.half b, 64; e = icmp.half eq xh, 0;"
                      " l = select.half e, c, a; h = iconst.half 0", "x"),
    "ctz": _on_halves("a = ctz.half xl; b = ctz.half xh; c = iadd.half b, 64; e = icmp.half eq xl, 0;"
                      " l = select.half e, c, a; h = iconst.half 0", "x"),
    "cls": _on_halves("s = sshr.half xh, 63; t = bxor.half xl, s; a = clz.half t; c = iadd.half a, 63; b = cls.half xh;"
                      " e = icmp.half eq xh, s; l = select.half e, c, b; h = iconst.half 0", "x"),
    # ---- arithmetic
    "imul": _on_halves("l = imul.half xl, yl; a = umulhi.half xl, yl; b = imul.half xl, yh; c = iadd.half a, b;"
                       " e = imul.half xh, yl; h = iadd.half c, e", "xy"),
    "iabs": "xl, xh = isplit.T x; m = sshr.half xh, 63; l = bxor.half xl, m; h = bxor.half xh, m;"
            " a = iconcat.half l, h; s = iconcat.half m, m; d = isub.T a, s",
    **{f"{sign}{which}": f"c = icmp.T {sign}{cc} x, y; d = select.T c, x, y"
       for sign in "su" for which, cc in (("min", "lt"), ("max", "gt"))},
    # ---- shifts
    "ishl": _on_halves(_AMOUNT + _shift_left("xl", "xh") + "l = select.half b, 0, s; h = select.half b, s, u", "x"),
    "ushr": _on_halves(_AMOUNT + _shift_right("xl", "xh", "ushr") + "l = select.half b, s, u; h = select.half b, 0, s", "x"),
    "sshr": _on_halves(_AMOUNT + _shift_right("xl", "xh", "sshr") + "f = sshr.half xh, 63; l = select.half b, s, u;"
                       " h = select.half b, f, s", "x"),
    "rotl": _on_halves(_AMOUNT + _rotate("ishl", "ushr"), "x"),
    "rotr": _on_halves(_AMOUNT + _rotate("ushr", "ishl"), "x"),
    # ---- widths
    "uextend": "l = uextend.half x; d = iconcat.half l, 0",
    "sextend": "l = sextend.half x; h = sshr.half l, 63; d = iconcat.half l, h",
    # ---- memory
    "load": "l = load.half x; h = load.half x+8; d = iconcat.half l, h",
    "store": "xl, xh = isplit.T x; store.half xl, y; store.half xh, y+8",
    # ---- immediates: there is no constant of 128 bits
    **{f"{op}_imm": f"t = iconst.half imm; s = sextend.T t; d = {op}.T x, s" for op in ("iadd", "imul")},
    "irsub_imm": "t = iconst.half imm; s = sextend.T t; d = isub.T s, x",
    "icmp_imm": "t = iconst.half imm; s = sextend.T t; d = icmp.T x, s",
    **{f"{op}_imm": f"t = iconst.half imm; s = uextend.T t; d = {op}.T x, s" for op in ("band", "bor", "bxor")},
    **{f"{op}_imm": f"t = iconst.half imm; d = {op}.T x, t" for op in ("ishl", "ushr", "sshr", "rotl", "rotr")},
}  # fmt: skip
"""By opcode, at T = i128."""
