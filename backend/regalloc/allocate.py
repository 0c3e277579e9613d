"""Register allocation on one page.

1. :func:`~backend.regalloc.ranges.build_ranges`: number the instructions, find where each virtual
register is live
   and where it must be in a register, turn fixed and tied operands into blocked registers and gap
   copies.
2. :class:`~backend.regalloc.linear_scan.LinearScan`: a register for each interval, or for pieces of
it, the rest in
   a spill slot.
3. Here: give slots to what was spilled; collect the moves of each gap (pieces that continue
elsewhere, the store
   after a spilled definition, copies to and from fixed registers) and of each edge (values that are
   in different places at its two ends, block parameters); put them in sequence
   (:func:`~backend.regalloc.parallel_moves.sequence_moves`); and write down each operand's
   register.

The moves of a gap read what was there before the gap. Those of an edge come after the gap's at the
end of a block with one successor, and before them at the beginning of a block with one predecessor.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heappop, heappush
from typing import Final

from backend.machine.registers import FIRST_VREG, MachineEnv, spill
from backend.machine.vcode import Allocation, VCode
from backend.regalloc.linear_scan import LinearScan
from backend.regalloc.parallel_moves import sequence_moves
from backend.regalloc.ranges import NEVER, Ranges, build_ranges

_AT_EDGE: Final = 2
"""Moves are collected by ``index << 2 | class``, with this bit for those of an edge that leaves."""


def allocate(vcode: VCode, env: MachineEnv) -> Allocation:
    """Physical registers for all operands of ``vcode``, and the moves between its instructions.

    ``vcode`` has the invariants of :mod:`backend.machine.vcode`; besides, a branch defines no
    register and the only jump of a block with one successor reads none. Fixed operands may name
    registers outside ``env.allocatable``, but not the scratch registers. AllocationError if an
    instruction has more operands than there are registers for; InternalError if
    operands contradict each other.
    """
    ranges = build_ranges(vcode, env)
    scan = LinearScan(ranges, vcode.classes, env)
    scan.run()
    allocation = Allocation()
    places = _Places(ranges, scan, vcode.classes, allocation)
    moves: dict[int, list[tuple[int, int]]] = {}
    _collect_copies(moves, ranges, places, vcode.classes)
    if scan.pieces:
        _collect_pieces(moves, ranges, places, vcode.classes)
    _collect_edges(moves, vcode, ranges, places)
    if moves:
        _write_edits(moves, ranges.entries, env, allocation)
    _write_locations(vcode, ranges, places, allocation)
    return allocation


class _Places:
    """Where each virtual register is at which position."""

    __slots__ = ("fixed_def", "home", "pieces", "slots")

    def __init__(
        self, ranges: Ranges, scan: LinearScan, classes: list[int], allocation: Allocation
    ) -> None:
        self.home = scan.home
        self.pieces = scan.pieces
        self.fixed_def = ranges.fixed_def
        self.slots = (
            _assign_slots(ranges, scan.spilled, classes, allocation) if scan.spilled else {}
        )

    def at(self, vreg: int, position: int) -> int:
        """The location of a live ``vreg``."""
        home = self.home[vreg]
        if home >= 0:
            return home
        pieces = self.pieces[vreg]
        index = bisect_right(pieces, [position, NEVER]) - 1
        if index >= 0:
            _, end, register = pieces[index]
            if position < end:
                return register
        return self.slots[vreg]

    def before_gap(self, vreg: int, k: int) -> int:
        """The location of a live ``vreg`` when the gap of index ``k`` begins."""
        fixed = self.fixed_def.get(vreg, -1)
        if fixed >= 0 and fixed >> 7 == k - 1:
            return fixed & 127
        return self.at(vreg, 2 * k - 1)


def _assign_slots(
    ranges: Ranges, spilled: set[int], classes: list[int], allocation: Allocation
) -> dict[int, int]:
    """A slot for each spilled virtual register, shared when intervals and classes allow."""
    start, end = ranges.start, ranges.end
    slots: dict[int, int] = {}
    free: tuple[list[int], list[int]] = ([], [])
    # Heaps of (end, slot) of the slots in use: a linear scan of its own.
    busy: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for vreg in sorted(spilled, key=start.__getitem__):
        cls = classes[vreg - FIRST_VREG]
        heap = busy[cls]
        while heap and heap[0][0] <= start[vreg]:
            free[cls].append(heappop(heap)[1])
        if free[cls]:
            slot = free[cls].pop()
        else:
            slot = len(allocation.spill_classes)
            allocation.spill_classes.append(cls)
        heappush(heap, (end[vreg], slot))
        slots[vreg] = spill(slot)
    return slots


def _collect_copies(
    moves: dict[int, list[tuple[int, int]]], ranges: Ranges, places: _Places, classes: list[int]
) -> None:
    """Moves to the registers of fixed uses and tied definitions, and from those of fixed
    definitions.
    """
    for k, vreg, to in ranges.copies:
        source = places.before_gap(vreg, k)
        if to >= FIRST_VREG:
            to = places.at(to, 2 * k)
        if to != source:
            _add(moves, k << 2 | classes[vreg - FIRST_VREG], to, source)
    for vreg, packed in ranges.fixed_def.items():
        k = (packed >> 7) + 1
        if ranges.end[vreg] > 2 * k:
            key = k << 2 | classes[vreg - FIRST_VREG]
            to = places.at(vreg, 2 * k)
            if to != packed & 127:
                _add(moves, key, to, packed & 127)
            if to >= 0 and vreg in places.slots:
                _add(moves, key, places.slots[vreg], packed & 127)


def _collect_pieces(
    moves: dict[int, list[tuple[int, int]]], ranges: Ranges, places: _Places, classes: list[int]
) -> None:
    """Moves where a piece begins that is not the first, and the stores of spilled definitions."""
    born, start = ranges.born, ranges.start
    for vreg, pieces in places.pieces.items():
        cls = classes[vreg - FIRST_VREG]
        birth = born[vreg]
        previous_end, previous = -1, -1
        for first, end, register in pieces:
            if first != start[vreg] and first != birth:
                source = previous if previous_end == first else places.slots[vreg]
                if source != register:
                    _add(moves, first << 1 | cls, register, source)
            previous_end, previous = end, register
    fixed = ranges.fixed_def
    for vreg, slot in places.slots.items():
        if vreg not in fixed:
            # Its definition is complete at the first odd position; the store is in the gap behind.
            done = born[vreg] | 1
            at = places.at(vreg, born[vreg])
            if at != slot:
                _add(moves, (done + 1) << 1 | classes[vreg - FIRST_VREG], slot, at)


def _collect_edges(
    moves: dict[int, list[tuple[int, int]]], vcode: VCode, ranges: Ranges, places: _Places
) -> None:
    """Moves between the end of a block and the beginning of its successor."""
    blocks, entries, classes = vcode.blocks, ranges.entries, vcode.classes
    start, end, home = ranges.start, ranges.end, places.home
    live_in = ranges.live_in
    several = places.pieces
    for b, block in enumerate(blocks):
        split = [v for v in live_in[b] if home[v] < 0] if several and live_in else ()
        if not split and not block.params:
            continue
        entry = 2 * entries[b]
        for pred in block.preds:
            source_block = blocks[pred]
            last = entries[pred] + len(source_block.insts)
            if len(source_block.succs) == 1:
                key = last << 2 | _AT_EDGE
            else:
                key = entry << 1
            for vreg in split:
                to = places.at(vreg, entry)
                if to >= 0:
                    source = places.at(vreg, 2 * last + 1)
                    if to != source:
                        _add(moves, key | classes[vreg - FIRST_VREG], to, source)
            for param, arg in zip(block.params, source_block.args, strict=True):
                if start[param] < end[param]:
                    to = places.at(param, entry)
                    source = places.at(arg, 2 * last + 1)
                    if to != source:
                        _add(moves, key | classes[arg - FIRST_VREG], to, source)


def _add(moves: dict[int, list[tuple[int, int]]], key: int, to: int, source: int) -> None:
    items = moves.get(key)
    if items is None:
        moves[key] = [(to, source)]
    else:
        items.append((to, source))


def _write_edits(
    moves: dict[int, list[tuple[int, int]]],
    entries: list[int],
    env: MachineEnv,
    allocation: Allocation,
) -> None:
    """Put the moves in sequence, gap by gap, an edge's behind those of its gap."""
    classes = allocation.spill_classes
    spare = [NEVER, NEVER]

    def new_slot(cls: int) -> int:
        # Cycles are unwound one at a time, so one slot a class serves all of them.
        if spare[cls] == NEVER:
            spare[cls] = spill(len(classes))
            classes.append(cls)
        return spare[cls]

    makers = (lambda: new_slot(0), lambda: new_slot(1))
    edits = allocation.edits
    for key in sorted(moves):
        items = moves[key]
        cls = key & 1
        k = key >> 2
        b = bisect_right(entries, k) - 1
        inst = k - b if entries[b] == k else k - b - 1
        if len(items) > 1:
            items = sequence_moves(items, env.scratch[cls], makers[cls])
        elif items[0][0] < 0 and items[0][1] < 0:
            items = [(env.scratch[cls], items[0][1]), (items[0][0], env.scratch[cls])]
        if inst in edits:
            edits[inst] += items
        else:
            edits[inst] = items


def _write_locations(vcode: VCode, ranges: Ranges, places: _Places, allocation: Allocation) -> None:
    home, plans = places.home, ranges.plans
    clean = not places.pieces
    locations = allocation.locations
    i = 0
    for b, block in enumerate(vcode.blocks):
        for inst in block.insts:
            plan = plans[i]
            if isinstance(plan, tuple):
                ops = inst.ops
                found = [home[ops[index]] for index in plan]
                if not clean and -1 in found:
                    at = 2 * (i + b + 1)
                    # A plain operand is a USE, at the even position, or a DEF, at the odd one.
                    found = [places.at(ops[o.index], at + o.role) for o in inst.operands]
            elif clean:
                found = [where if where < FIRST_VREG else home[where] for where, _ in plan]
            else:
                found = [
                    where if where < FIRST_VREG else places.at(where, at) for where, at in plan
                ]
            locations.append(found)
            i += 1
