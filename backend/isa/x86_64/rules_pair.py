# ruff: noqa: E501  # a table: one row a line
"""x86-64's lowering rules for i128, a pair of registers; see :mod:`backend.lower.rules` for the notation.

Only what the carry and the conditions make shorter than 64-bit operations on the halves, besides what all ISAs have
(:mod:`backend.isa.rules_pair`). Between the two halves of a carry stand moves at most, which leave the flags alone.
"""

from __future__ import annotations

from backend.isa.rules_pair import add_shared_pair_rules
from backend.lower.rules import RuleSet


def add_pair_rules(rules: RuleSet) -> None:
    """Append the rules for i128."""
    add_shared_pair_rules(rules, move="mov_rr.q", branch="jcc", condition="setcc c, d")
    _rule = rules.rule
    # fmt: off
    # ---- carries ----------------------------------------------------------------------------------------------
    for _op, _first, _second in (("add", "add", "adc"), ("sub", "sub", "sbb")):
        _rule(f"i{_op}_pair", f"i{_op} x, y", f"{_first}_rr.q d, y, x; {_second}_rr.q d', y', x'", types="i128")
        for _sign, _flag in (("u", "BELOW"), ("s", "OVERFLOW")):
            _rule(f"{_sign}{_op}_overflow_pair", f"{_sign}{_op}_overflow x, y",
                  f"{_first}_rr.q d, y, x; {_second}_rr.q d', y', x'; setcc {_flag}, d2", types="i128")
    # NEG sets the carry unless the lower half is 0: the upper half of the result is -(x' + carry).
    _rule("ineg_pair", "ineg x", "neg_r.q d, x; adc_ri.q t, {0}, x'; neg_r.q d', t", types="i128")

    # ---- conditions ---------------------------------------------------------------------------------------------
    _rule("cmp_pair_equal", "cmp x, y", "xor_rr.q t, y, x; xor_rr.q t0, y', x'; or_rr.q t1, t0, t; -> CC[cc]", types="i128", when="cc in ('eq', 'ne')")
    _rule("cmp_pair_less", "cmp x, y", "cmp_rr.q x, y; sbb_rr.q t, y', x'; -> CC[cc]", types="i128", when="cc in ('slt', 'sge', 'ult', 'uge')")
    _rule("cmp_pair_greater", "cmp x, y", "cmp_rr.q y, x; sbb_rr.q t, x', y'; -> CC[SWAP[cc]]", types="i128")
    _rule("nz_pair", "nz x", "or_rr.q t, x', x; -> NE", types="i128")
    _rule("bmask_pair", "bmask ?c", "setcc c, t; movzx_b.l t0, t; neg_r.q d, t0; mov_rr.q d', d", types="i128")
    _rule("select_pair", "select|select_spectre_guard ?c, x, y", "cmov.q c, d, x, y; cmov.q c, d', x', y'", types="i128")
    # fmt: on
