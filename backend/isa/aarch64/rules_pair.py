# ruff: noqa: E501  # a table: one row a line
"""AArch64's lowering rules for i128, a pair of registers; see :mod:`backend.lower.rules` for the notation.

Only what the carry and the conditions make shorter than 64-bit operations on the halves, besides what all ISAs have
(:mod:`backend.isa.rules_pair`).
"""

from __future__ import annotations

from backend.isa.rules_pair import add_shared_pair_rules
from backend.lower.rules import RuleSet


def add_pair_rules(rules: RuleSet) -> None:
    """Append the rules for i128."""
    add_shared_pair_rules(rules, move="mov_rr.x", branch="b_cond", condition="cset.w d, c")
    _rule = rules.rule
    # fmt: off
    # ---- carries ----------------------------------------------------------------------------------------------
    for _op, _first, _second, _unsigned in (("add", "adds", "adc", "HS"), ("sub", "subs", "sbc", "LO")):
        _rule(f"i{_op}_pair", f"i{_op} x, y", f"{_first}_rr.x d, x, y; {_second}_rr.x d', x', y'", types="i128")
        for _sign, _flag in (("u", _unsigned), ("s", "VS")):
            _rule(f"{_sign}{_op}_overflow_pair", f"{_sign}{_op}_overflow x, y",
                  f"{_first}_rr.x d, x, y; {_second}s_rr.x d', x', y'; cset.w d2, {_flag}", types="i128")
    _rule("ineg_pair", "ineg x", "negs_rr.x d, x; ngc_rr.x d', x'", types="i128")

    # ---- conditions ---------------------------------------------------------------------------------------------
    _rule("cmp_pair_equal", "cmp x, y", "cmp_rr.x x, y; ccmp_rr.x x', y', {0}, EQ; -> CC[cc]", types="i128", when="cc in ('eq', 'ne')")
    _rule("cmp_pair_less", "cmp x, y", "cmp_rr.x x, y; cmp_borrow.x x', y'; -> CC[cc]", types="i128", when="cc in ('slt', 'sge', 'ult', 'uge')")
    _rule("cmp_pair_greater", "cmp x, y", "cmp_rr.x y, x; cmp_borrow.x y', x'; -> CC[SWAP[cc]]", types="i128")
    _rule("nz_pair", "nz x", "orr_rr.x t, x, x'; cmp_ri.x t, {0}; -> NE", types="i128")
    _rule("bmask_pair", "bmask ?c", "csetm.x d, c; csetm.x d', c", types="i128")
    _rule("select_pair", "select|select_spectre_guard ?c, x, y", "csel.x d, x, y, c; csel.x d', x', y', c", types="i128")
    # fmt: on
