# ruff: noqa: E501  # a table: one row a line
"""Lowering rules for i128 that ISAs differ in by the name of a row alone; see :mod:`backend.lower.rules` for the notation.

What a pair is made of and taken from, and what a condition on one is for. Carries and comparisons are the ISA's own, and so is
what it makes of a condition for two registers; all else is rewritten before lowering (:mod:`backend.lower.pairs`).
"""

from __future__ import annotations

from backend.lower.rules import ALL, RuleSet


def add_shared_pair_rules(rules: RuleSet, *, move: str, branch: str, condition: str) -> None:
    """Append them. ``move``: the row of a move of 64 bits; ``branch``: that of a branch on a condition;
    ``condition``: the line that makes d the truth of condition c."""
    _rule = rules.rule
    # fmt: off
    _rule("iconcat_i64", "iconcat x, y", f"{move} d, x; {move} d', y", types="i64")
    _rule("isplit_i128", "isplit x", f"{move} d, x; {move} d2, x'", types="i128")
    _rule("ireduce_i128", "ireduce x", f"{move} d, x", types=ALL, second="i128")
    _rule("bitcast_i128", "bitcast x", f"{move} d, x; {move} d', x'", types="i128", second="i128")
    _rule("icmp_pair", "icmp ?c", condition, types="i128")
    _rule("brif_pair", "brif ?c", f"{branch} c, then, else", types="i128")
    _rule("trapz_pair", "trapz ?c", f"{branch} {{c ^ 1}}, !inst, {{-1}}", types="i128")
    _rule("trapnz_pair", "trapnz ?c", f"{branch} c, !inst, {{-1}}", types="i128")
    # fmt: on
