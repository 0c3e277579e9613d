"""Which branches may be short, and where everything lies once they are.

**Problem.** Where instructions vary in width, a branch has a long form that reaches anywhere and a short one that
reaches 128 bytes. Which one it takes depends on the distance, and the distance on which ones the branches between
take. An island can't come to the rescue: at 128 bytes it would stand behind nearly every branch.

**Algorithm** (after Szymanski, "Assembling code for machines with span-dependent instructions", CACM 21, 1978, but
from the long side). Everything is emitted long. Then each branch that would reach its label as a short one is chosen,
again and again with those chosen so far as short, until none is added.

**Invariants.** What is chosen stays right: choosing others only brings its ends nearer to each other. So no label is
out of reach, which the label use checks all the same. Only bytes of the branches chosen go away, so whatever lies
between two branches keeps its length; nothing may be aligned yet.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from backend.machine.labels import LabelUse


class Branch:
    """A branch in its long form. ``start``, ``end``: of the instruction, which ends with the word; ``target``: offset
    of its label; ``short``: the label use in the short form; ``short_head``: its bytes there before the single one that
    holds the distance; ``saved``: how many bytes shorter that form is."""

    __slots__ = ("end", "saved", "short", "short_head", "start", "target")

    def __init__(
        self, start: int, end: int, target: int, short: LabelUse, short_head: bytes
    ) -> None:
        self.start = start
        self.end = end
        self.target = target
        self.short = short
        self.short_head = short_head
        self.saved = end - start - len(short_head) - 1


class Moved:
    """Where what is at an offset lies once ``branches`` are short: call it with the offset. ``starts``: where those
    branches begin then."""

    __slots__ = ("_ends", "_saved", "starts")

    def __init__(self, branches: Sequence[Branch]) -> None:
        self._ends: list[int] = []
        self._saved = [0]
        for branch in sorted(branches, key=lambda branch: branch.end):
            self._ends.append(branch.end)
            self._saved.append(self._saved[-1] + branch.saved)
        self.starts = {self(branch.start) for branch in branches}

    def __call__(self, offset: int) -> int:
        return offset - self._saved[bisect_right(self._ends, offset)]


def distance(branch: Branch, moved: Moved) -> int:
    """From the byte that holds it to the label, once ``moved``; ``branch`` is one of those that have become short."""
    return moved(branch.target) - (moved(branch.end) - 1)


def choose(branches: Sequence[Branch]) -> list[Branch]:
    """Those of ``branches`` that may be short, all at once."""
    chosen: list[Branch] = []
    left = list(branches)
    while left:
        moved = Moved(chosen)
        longer: list[Branch] = []
        before = len(chosen)
        for branch in left:
            # Being short itself it ends earlier, and so does whatever lies behind it.
            at = moved(branch.end) - branch.saved - 1
            to = moved(branch.target) - (branch.saved if branch.target >= branch.end else 0)
            (chosen if branch.short.reaches(to - at) else longer).append(branch)
        if len(chosen) == before:
            break
        left = longer
    return chosen
