"""What an explanation holds. The terminal and the HTML page print it, side by side and line by line."""

from __future__ import annotations

import msgspec


class Asm(msgspec.Struct, frozen=True):
    """One machine instruction: byte offset in the code, its bytes in hex, Capstone's text."""

    offset: int
    word: str
    text: str


class Line(msgspec.Struct, frozen=True):
    """One CLIF instruction with all that became of it.

    ``clif``: its text (``block1(v3: i32):`` heads stand alone, with nothing beside them). ``vcode``:
    machine instructions over virtual registers; ``asm``: what was emitted for it. ``expected``, ``got``: the value
    of its first result at the last time it was computed before the divergence, ``0x2a``, or "" if unknown;
    ``where``: the register or slot that ``got`` was read from. ``diverges``: this is the first place where they differ.
    """

    clif: str
    vcode: list[str] = []
    asm: list[Asm] = []
    expected: str = ""
    got: str = ""
    where: str = ""
    diverges: bool = False


class Step(msgspec.Struct, frozen=True):
    """One executed machine instruction; ``changes``: registers and memory it changed, ``x9=0x2a sp=...``;
    ``line``: index of the Line it belongs to, or -1.
    """

    offset: int
    text: str
    changes: str
    line: int = -1


class Divergence(msgspec.Struct, frozen=True):
    """The first SSA value that the machine had wrong, or what else went wrong first (then ``value`` is "").

    ``text``: one sentence for people; ``step``: index in the trace, or -1.
    """

    text: str
    value: str = ""
    expected: str = ""
    got: str = ""
    where: str = ""
    offset: int = -1
    step: int = -1


class Toggle(msgspec.Struct, frozen=True):
    """One thing changed at a time: ``what`` (``registers=16``, ``without rule add_imm``, ``target llvm``),
    and whether the finding is ``gone`` or ``still`` there, or became ``other``; ``unsupported``: it can't be tried.
    """

    what: str
    verdict: str


class Explanation(msgspec.Struct):
    """All that is known about why an entry fails. ``verdict``: replay's word for it (``failing``, ``fixed`` ...);
    if nothing fails now the rest is what ran. ``inputs``: the arguments shown, in hex, floats
    as literals too; ``poison``: which undefined thing mattered, or "". ``culprit``: the stage, option or rule the
    toggles point at, or "".
    ``trace`` holds the steps from number ``trace_from`` on, of ``executed`` in all.
    """

    entry: str
    verdict: str
    check: str
    target: str
    isa: str
    detail: str
    inputs: list[str]
    expected: str
    observed: str
    lines: list[Line]
    trace: list[Step]
    divergence: Divergence | None
    toggles: list[Toggle]
    culprit: str
    poison: str
    trace_from: int = 0
    executed: int = 0

    def around(self, steps: int) -> Explanation:
        """The same with at most ``steps`` steps of the trace, two thirds of them leading up to the divergence."""
        at = self.divergence.step if self.divergence is not None else -1
        first = max(0, min(max(at, 0) - 2 * steps // 3, len(self.trace) - steps))
        kept = msgspec.structs.replace(
            self, trace=self.trace[first : first + steps], trace_from=self.trace_from + first
        )
        if self.divergence is not None and at >= 0:
            kept.divergence = msgspec.structs.replace(self.divergence, step=at - first)
        return kept
