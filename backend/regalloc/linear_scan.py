"""Linear scan with live-range splitting (Wimmer and Moessenboeck 2005; on SSA, Wimmer and Franz
2010).

Intervals are taken in the order of their starts, and each gets a register that is free until the
interval ends or, failing that, the longest. What is then left of the interval is split off and
comes up again later. If no register is free where one is needed, the occupant whose next need is
furthest away is evicted.

**A spilled value is stored once, right after its definition** (it has only one, this being SSA), so
its slot holds it wherever it is live. Hence an interval can leave its register at any position
without a move, and enters one by a load or a copy in a gap. An interval with no need ahead of the
end of a free register is not put there.

**It can't fail while an instruction's own operands fit.** Only registers blocked by the instruction
itself are out of reach; any occupant not needed at this very position can be evicted. Positions
come in pairs, and what needs a register at ``2k`` and ``2k + 1`` has a choice that is a subset of
what needs it at ``2k`` only; so if the former finds all of its choice taken by the latter, one of
those is moved over (:meth:`LinearScan._make_room`), and if none can be, the operands don't fit.

State is lists indexed by virtual register; an interval under way is a number ``start << 24 | vreg``
in a heap.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import Final

from backend.errors import AllocationError
from backend.machine.registers import FIRST_VREG, MachineEnv
from backend.regalloc.ranges import NEVER, Ranges

_VREG_BITS: Final = 24
_VREG_MASK: Final = (1 << _VREG_BITS) - 1
_CHUNK: Final = 64
"""Blocked positions whose masks are also kept united, to cross long ranges quickly."""


@lru_cache(maxsize=256)
def preferences(registers: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """The mask of ``registers``, and those of its ascending runs: in a run, the lowest is preferred."""
    groups: list[int] = []
    previous = NEVER
    for register in registers:
        if register < previous:
            groups.append(0)
        groups[-1] |= 1 << register
        previous = register
    return sum(groups), tuple(groups)


class LinearScan:
    """One run. Results:

    ``home``: the only register of a virtual register, -1 if it has none or several places, or never
    lives;
    ``pieces``: for those with ``home`` -1 and an interval, ``[start, end, register]`` ascending:
    where they are in registers, elsewhere in their slot; ``spilled``: those that need a slot.
    """

    __slots__ = ("_active", "_active_end", "_classes", "_expiry", "_free", "_groups", "_heap",
                 "_last", "_masks", "_pending", "_position", "_positions", "_ranges", "_united",
                 "home", "pieces", "spilled")  # fmt: skip

    def __init__(self, ranges: Ranges, classes: list[int], env: MachineEnv) -> None:
        size = len(ranges.start)
        self._ranges = ranges
        self._classes = classes
        ints, floats = preferences(env.allocatable[0]), preferences(env.allocatable[1])
        self._masks = (ints[0], floats[0])
        self._groups = (ints[1], floats[1])
        self._free = self._masks[0] | self._masks[1]
        #: the occupant of each register and where its piece ends
        self._active = [0] * FIRST_VREG
        self._active_end = [-1] * FIRST_VREG
        #: heap of end << 7 | register, with stale entries
        self._expiry: list[int] = []
        self._heap: list[int] = []
        #: start of the part of an interval that is still to be placed, -1 if none
        self._pending = [-1] * size
        self._last = [-1] * size
        #: first blocked position not before the current one, as an index
        self._position = 0
        #: where each register is blocked, made when asked for
        self._positions: dict[int, list[int]] = {}
        self._united: list[int] = []
        self.home = [-1] * size
        self.pieces: dict[int, list[list[int]]] = {}
        self.spilled: set[int] = set()

    def run(self) -> None:
        """Place every interval. AllocationError if an instruction's own operands don't fit."""
        ranges = self._ranges
        start, end = ranges.start, ranges.end
        hint_use, hint_def, kin = ranges.hint_use, ranges.hint_def, ranges.kin
        blocked_at = ranges.blocked_at
        active, active_end, expiry = self._active, self._active_end, self._expiry
        pending, last, home = self._pending, self._last, self.home
        classes, masks, groups = self._classes, self._masks, self._groups
        heap = self._heap
        for vreg in range(FIRST_VREG, len(start)):
            first = start[vreg]
            if first < end[vreg]:
                heap.append(first << _VREG_BITS | vreg)
                pending[vreg] = first
        heapify(heap)
        free = self._free
        position = 0
        while heap:
            item = heappop(heap)
            vreg = item & _VREG_MASK
            at = item >> _VREG_BITS
            if pending[vreg] != at:
                continue
            while expiry and expiry[0] >> 7 <= at:
                gone = heappop(expiry)
                register = gone & 127
                if active_end[register] == gone >> 7:
                    free |= 1 << register
            while blocked_at[position] < at:
                position += 1
            stop = end[vreg]
            cls = classes[vreg - FIRST_VREG]
            choice = free & masks[cls]
            if choice and blocked_at[position] < stop:
                choice &= ~self._blocked_within(position, stop, choice)
            if not choice:
                self._free = free
                self._position = position
                self._place(vreg, at, stop, free & masks[cls])
                free = self._free
                continue
            register = hint_use[vreg]
            if register < 0 or not choice >> register & 1:
                register = hint_def[vreg]
                if register < 0 or not choice >> register & 1:
                    register = last[kin[vreg]]
                    if register < 0 or not choice >> register & 1:
                        for group in groups[cls]:
                            if choice & group:
                                choice &= group
                                break
                        register = (choice & -choice).bit_length() - 1
            free ^= 1 << register
            active[register] = vreg
            active_end[register] = stop
            heappush(expiry, stop << 7 | register)
            pending[vreg] = -1
            last[vreg] = register
            if at == start[vreg]:
                home[vreg] = register
            else:
                self.pieces.setdefault(vreg, []).append([at, stop, register])

    # ---- when there is no register for the whole interval

    def _blocked_within(self, position: int, stop: int, choice: int) -> int:
        """Registers blocked from the ``position``-th blocked position up to ``stop``.

        Cut short once all of ``choice`` is blocked.
        """
        blocked_at, blocked = self._ranges.blocked_at, self._ranges.blocked
        mask = 0
        while blocked_at[position] < stop and choice & ~mask:
            chunk_end = position + _CHUNK
            if (
                not position % _CHUNK
                and chunk_end < len(blocked_at)
                and blocked_at[chunk_end - 1] < stop
            ):
                if not self._united:
                    self._unite()
                mask |= self._united[position // _CHUNK]
                position = chunk_end
                continue
            mask |= blocked[position]
            position += 1
        return mask

    def _unite(self) -> None:
        blocked = self._ranges.blocked
        for lo in range(0, len(blocked), _CHUNK):
            mask = 0
            for item in blocked[lo : lo + _CHUNK]:
                mask |= item
            self._united.append(mask)

    def _longest(self, choice: int, stop: int) -> tuple[int, int]:
        """Of the registers ``choice``, those unblocked longest, and until when (<= ``stop``)."""
        blocked_at, blocked = self._ranges.blocked_at, self._ranges.blocked
        position = self._position
        far = position + _CHUNK
        while blocked_at[position] < stop:
            left = choice & ~blocked[position]
            if not left:
                return choice, blocked_at[position]
            choice = left
            position += 1
            if position == far:
                return self._longest_by_register(choice, stop, blocked_at[position - 1])
        return choice, stop

    def _longest_by_register(self, choice: int, stop: int, after: int) -> tuple[int, int]:
        best, until = 0, -1
        while choice:
            bit = choice & -choice
            choice ^= bit
            register = bit.bit_length() - 1
            positions = self._positions.get(register)
            if positions is None:
                ranges = self._ranges
                positions = [
                    p for p, m in zip(ranges.blocked_at, ranges.blocked, strict=True) if m & bit
                ]
                self._positions[register] = positions
            index = bisect_right(positions, after)
            end = min(stop, positions[index]) if index < len(positions) else stop
            if end > until:
                best, until = bit, end
            elif end == until:
                best |= bit
        return best, until

    def _prefer(self, vreg: int, cls: int, choice: int) -> int:
        """The register of ``choice`` that ``vreg`` likes best."""
        ranges = self._ranges
        hints = (ranges.hint_use[vreg], ranges.hint_def[vreg], self._last[vreg],
                 self._last[ranges.kin[vreg]])  # fmt: skip
        for register in hints:
            if register >= 0 and choice >> register & 1:
                return register
        for group in self._groups[cls]:
            if choice & group:
                choice &= group
                break
        return (choice & -choice).bit_length() - 1

    def _next_need(self, vreg: int, at: int) -> int:
        needs = self._ranges.needs[vreg]
        index = bisect_left(needs, at)
        return needs[index] if index < len(needs) else NEVER

    def _place(self, vreg: int, at: int, stop: int, choice: int) -> None:
        """Place an interval for which no register is free throughout; ``choice``: those free
        now.
        """
        need = self._next_need(vreg, at)
        if choice:
            choice, until = self._longest(choice, stop)
            if need > at:
                if need < until:
                    self._occupy(vreg, at, stop, until, choice)
                    return
            elif until >= self._must_end(vreg, at):
                self._occupy(vreg, at, stop, until, choice)
                return
        if need > at:
            self._rest_in_slot(vreg, need)
            return
        choice = self._unblocked(self._classes[vreg - FIRST_VREG], at, self._must_end(vreg, at))
        register = self._furthest(choice, at)
        if register < 0:
            register = self._make_room(vreg, at, choice)
        self._evict(register, at)
        self._occupy(vreg, at, stop, self._blocked_from(register, stop), 1 << register)

    def _must_end(self, vreg: int, at: int) -> int:
        """How far a piece that starts at a need must reach: its instruction's other position,
        too?
        """
        if not at & 1 and self._next_need(vreg, at + 1) == at + 1:
            return at + 2
        return at + 1

    def _unblocked(self, cls: int, at: int, until: int) -> int:
        """Allocatable registers that are blocked nowhere in ``[at, until)``."""
        choice = self._masks[cls]
        position = self._position
        ranges = self._ranges
        while ranges.blocked_at[position] < until:
            if ranges.blocked_at[position] >= at:
                choice &= ~ranges.blocked[position]
            position += 1
        return choice

    def _blocked_from(self, register: int, stop: int) -> int:
        """The first position, ``stop`` at the latest, at which ``register`` is blocked."""
        return self._longest(1 << register, stop)[1]

    def _furthest(self, choice: int, at: int) -> int:
        """Of ``choice``, the register that is free or next needed last; -1 if all are needed at
        ``at``.
        """
        best, best_need = -1, at
        while choice:
            bit = choice & -choice
            choice ^= bit
            register = bit.bit_length() - 1
            if self._free & bit:
                return register
            need = self._next_need(self._active[register], at)
            if need > best_need:
                best, best_need = register, need
        return best

    def _make_room(self, vreg: int, at: int, choice: int) -> int:
        """A register of ``choice`` whose occupant, needed at ``at`` only, could be moved elsewhere.

        ``choice`` is what ``vreg`` can have, all of it occupied by what is needed at ``at``.
        """
        cls = self._classes[vreg - FIRST_VREG]
        others = self._unblocked(cls, at, at + 1) & ~choice
        refuge = self._furthest(others, at)
        if refuge >= 0:
            while choice:
                bit = choice & -choice
                choice ^= bit
                register = bit.bit_length() - 1
                occupant = self._active[register]
                if self._next_need(occupant, at + 1) > at + 1:
                    self._evict(refuge, at)
                    self._evict(register, at)
                    stop = self._ranges.end[occupant]
                    self._occupy(occupant, at, stop, self._blocked_from(refuge, stop), 1 << refuge)
                    return register
        raise AllocationError(
            f"%{vreg - FIRST_VREG} needs a register at {at}, and more are needed there than there are"
        )

    def _evict(self, register: int, at: int) -> None:
        """Free ``register`` at ``at``; the rest of its occupant comes up at its next need."""
        if self._free >> register & 1:
            return
        vreg = self._active[register]
        pieces = self.pieces.get(vreg)
        if pieces is None:
            self.pieces[vreg] = pieces = [[self._ranges.start[vreg], at, register]]
            self.home[vreg] = -1
        else:
            pieces[-1][1] = at
        if pieces[-1][0] >= at:
            pieces.pop()
        self._free |= 1 << register
        self._active_end[register] = -1
        self._rest_in_slot(vreg, self._next_need(vreg, at))

    def _rest_in_slot(self, vreg: int, need: int) -> None:
        self.spilled.add(vreg)
        self.pieces.setdefault(vreg, [])
        self._pending[vreg] = -1
        if need < NEVER:
            self._queue(vreg, need)

    def _queue(self, vreg: int, at: int) -> None:
        self._pending[vreg] = at
        heappush(self._heap, at << _VREG_BITS | vreg)

    def _occupy(self, vreg: int, at: int, stop: int, until: int, choice: int) -> None:
        """Put ``[at, stop)`` of ``vreg`` into a register of ``choice``, which is blocked from
        ``until`` on.
        """
        register = self._prefer(vreg, self._classes[vreg - FIRST_VREG], choice)
        cut = min(until, stop)
        if cut < stop and cut & 1 and self._next_need(vreg, cut) == cut:
            # An instruction's positions stay together.
            cut -= 1
        bit = 1 << register
        assert self._free & bit
        self._free ^= bit
        self._active[register] = vreg
        self._active_end[register] = cut
        heappush(self._expiry, cut << 7 | register)
        self._last[vreg] = register
        self._pending[vreg] = -1
        if cut == stop and at == self._ranges.start[vreg]:
            self.home[vreg] = register
            self.pieces.pop(vreg, None)
            self.spilled.discard(vreg)
            return
        self.pieces.setdefault(vreg, []).append([at, cut, register])
        if cut == stop:
            return
        if cut & 1:
            self._rest_in_slot(vreg, self._next_need(vreg, cut))
        else:
            self._queue(vreg, cut)
