"""Which stage of the compiler it is, as far as the run, the checks and the toggles show, and no further.

What a toggle shows is that the finding goes away with the thing; what a cause shows is where the machine parted from
the reference. Where several stages are left, all of them are named.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from backend.opt.optimise import REWRITES
from fuzzer.explain.model import Toggle
from fuzzer.explain.toggles import GONE, UNSUPPORTED


@dataclass(slots=True)
class Facts:
    """What is known besides the toggles.

    ``check``, ``key``, ``detail``: of the violation; ``target``; ``kind``: of the cause (see
    :class:`fuzzer.explain.verdicts.Cause`); ``rules``: lowering rules of the CLIF instruction it was seen at;
    ``rows``: instruction rows of the machine code it was seen at; ``where``: the register or place it was seen in;
    ``bad_word``: (row, "encoder", "label use NAME" or "buffer") of the first instruction that is not what was meant;
    ``misplaced``: it was seen at an instruction that has other registers than it was allocated; ``checked``: the
    allocation passed its checker; ``failed_in``: where the compiler failed, innermost first.
    """

    target: str
    check: str
    key: str = ""
    detail: str = ""
    kind: str = ""
    rules: list[str] = field(default_factory=list)
    rows: list[str] = field(default_factory=list)
    where: str = ""
    misplaced: bool = False
    bad_word: tuple[str, str] | None = None
    checked: bool = False
    failed_in: str = ""


_SILENT = ("disabled_rules", "check_allocation")
"""Options whose toggles say nothing that the rules' and the checks don't."""
_BETWEEN = {
    "lost": "what moves values between instructions: moves, spills, reloads",
    "passed": "the edge into the block: its moves, or a jump that goes past them",
}


def culprit(facts: Facts, toggles: list[tuple[str, str, Toggle]]) -> str:
    """One phrase, or "". ``toggles``: (kind, name, toggle) of each that was tried."""
    gone = [(kind, name) for kind, name, toggle in toggles if toggle.verdict == GONE]
    with_ = [toggle.what for kind, name, toggle in toggles
             if toggle.verdict == GONE and kind == "option" and name not in _SILENT]  # fmt: skip
    rules = [name for kind, name in gone if kind == "rule"]
    here = [name for name in rules if name in facts.rules]
    stage = _stage(facts, here or rules, {name for kind, name in gone if kind == "option"})
    needed = {
        name for kind, name, toggle in toggles if toggle.verdict == UNSUPPORTED and kind == "rule"
    }
    if not stage:
        stage = _place(facts, needed)
    if not stage:
        return f"gone with {', '.join(with_)}" if with_ else ""
    return f"{stage} (gone with {', '.join(with_)})" if with_ else stage


def _stage(facts: Facts, rules: list[str], options: set[str]) -> str:
    """What a check or a toggle names."""
    without = _without(facts, rules, options)
    if facts.check == "allocation":
        return "register allocation: its symbolic checker refuses it"
    if facts.check == "repeat":
        return "something the compiler remembers from one compile to the next"
    if facts.check == "crash":
        return without or (f"the compiler fails in {facts.failed_in}" if facts.failed_in else "")
    if facts.bad_word is not None and facts.check != "buffer":
        row, what = facts.bad_word
        if what == "encoder":
            return f"the encoder (row {row})"
        return (
            f"{what} (row {row})"
            if what.startswith("label use")
            else f"the code buffer (the word of row {row})"
        )
    if facts.check == "buffer":
        return f"the code buffer ({facts.detail.removeprefix('refused by the buffer itself: ')})"
    if facts.check == "reassembly":
        return f"the encoder (row {', '.join(facts.rows)})" if facts.rows else "the encoder"
    if facts.misplaced:
        return f"emission: {' and '.join(facts.rows)} has other registers than it was allocated"
    if facts.kind == "pool":
        return "the constant pool: what it holds, or the label of it"
    if facts.kind in _BETWEEN:
        behind = ", behind the allocation, which passes its checker" if facts.checked else ""
        return _BETWEEN[facts.kind] + behind
    return (
        without
        or _CONVENTION.get(facts.kind, "")
        or (_frame(facts) if facts.kind == "frame" else "")
    )


def _without(facts: Facts, rules: list[str], options: set[str]) -> str:
    """Without which rule, or without optimising at all, the finding is gone."""
    improving = [name for name in rules if name in REWRITES]
    if improving:
        return f"the optimiser's rule {' or '.join(improving)} (gone without it)"
    if rules:
        rows = f"row {' or '.join(facts.rows)}; " if facts.rows and facts.kind in _MADE else ""
        return f"lowering rule {' or '.join(rules)} ({rows}gone without it)"
    return "the optimiser" if "opt_level" in options else ""


_MADE = ("made", "computed", "store", "branch", "trap", "stopped")
"""Kinds of causes whose machine instruction is that of the lowering rule."""
_CONVENTION = {
    "argument": "the calling convention: where arguments are looked for",
    "owed": "the calling convention: what a caller owes the function it calls",
    "missing": "lowering: an instruction that traps was dropped",
    "edge": "lowering: other arguments are passed on the edge than in the CLIF",
    "result": "the calling convention, or the epilogue: where results are put",
}


def _frame(facts: Facts) -> str:
    where = f" ({facts.where})" if facts.where else ""
    return (
        f"the prologue, the epilogue or the frame's layout{where}"
        if facts.target == "builtin"
        else ""
    )


def _place(facts: Facts, needed: set[str]) -> str:
    """Where it was seen, if no toggle names a stage."""
    if facts.target != "builtin" or not (facts.rules or facts.rows):
        return ""
    parts = []
    if facts.rules:
        parts.append(f"lowering rule {' or '.join(facts.rules)}")
    if facts.rows:
        parts.append(f"row {' or '.join(facts.rows)}")
    note = "no toggle tells them apart"
    if facts.rules and set(facts.rules) <= needed:
        note = (
            "the rule can't be left out" if len(facts.rules) == 1 else "the rules can't be left out"
        )
    where = {"branch": "the branch: ", "stopped": "where it stops: "}.get(facts.kind, "")
    return f"{where}{', '.join(parts)} or the emission of it ({note})"
