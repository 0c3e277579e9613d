"""Positions, live ranges and register needs: one pass over the code, before anything is decided.

**Positions.** Instructions and block entries are numbered through in layout order: block ``b`` is
entered at index ``first + b``, its n-th instruction has index ``first + n + b + 1``. Index ``k``
has two positions:
``2k``, where uses are read, and ``2k + 1``, where definitions and clobbers are written. The *gap*
of ``k`` lies just before ``2k``: what is moved there reads locations as of ``2k - 1`` and writes
those as of ``2k``.

**Ranges.** A virtual register has one half-open interval ``[start, end)`` without holes. It ends at
``2k + 1`` if it dies in a use, ``2k + 2`` in a late use, ``2k`` if it is last read in the gap. It
is stretched over every block it is live in, so that whatever path is taken, the value is somewhere
known.

**Constraints become gap copies**, so that the scan knows only free registers and blocked ones:

- a use fixed to register P is a copy to P in the gap; P is blocked at ``2k`` (a late one: at ``2k +
  1`` too);
- a definition fixed to P blocks P at ``2k + 1``; the value moves on in the gap of ``k + 1``, where
  its range starts;
- a definition tied to a use starts at ``2k`` with a copy of the use in the gap; both operands have
  its register;
- clobbers block at ``2k + 1``.

A use that a copy serves needs no register of its own, so a spilled value is loaded straight to its
place.
"""

from __future__ import annotations

from typing import Final

from backend.errors import InternalError
from backend.machine.registers import FIRST_VREG, MachineEnv
from backend.machine.vcode import DEF, EARLY_DEF, LATE_USE, USE, MInst, Operand, VCode
from backend.regalloc.liveness import walk_live_ins

NEVER: Final = 1 << 40
"""A position behind everything."""


class Shape:
    """What a row's operands come to when nothing is special about them; ``plain`` says whether.

    By index in ops, ``tied``: the definition that is tied to a use; ``partners``: the use of such a definition.
    """

    __slots__ = ("defs", "is_move", "operands", "order", "partners", "plain", "tied", "uses")

    def __init__(self, inst: MInst) -> None:
        self.operands = inst.operands
        self.is_move = inst.row.is_move
        self.plain = all(o.fixed < 0 and o.tied < 0 and o.role in (USE, DEF) for o in inst.operands)
        self.uses = tuple(o.index for o in inst.operands if o.role == USE)
        self.defs = tuple(o.index for o in inst.operands if o.role == DEF)
        self.order = tuple(o.index for o in inst.operands)
        self.tied: dict[int, Operand] = {o.tied: o for o in inst.operands if o.tied >= 0}
        self.partners = {o.index: o for o in inst.operands
                         if o.index in self.tied and o.role in (USE, LATE_USE)}  # fmt: skip


_SHAPES: dict[int, Shape] = {}
_MAX_SHAPES: Final = 4096


def shape_of(inst: MInst) -> Shape:
    """The shape of an instruction's operands, remembered: they are its row's, or those of many functions' arguments."""
    shape = _SHAPES.get(id(inst.operands))
    # A remembered shape keeps its operands alive, so that an id can't come to mean others.
    if shape is None or shape.operands is not inst.operands:
        shape = Shape(inst)
        if len(_SHAPES) >= _MAX_SHAPES:
            _SHAPES.clear()
        _SHAPES[id(inst.operands)] = shape
    return shape


class Ranges:
    """Lists indexed by virtual register are indexed by its number itself; the first 128 items are
    idle.

    ``start``, ``end``: the interval; empty if ``start >= end`` (it needs no place of its own).
    ``needs``: positions at which it must be in a register, ascending. ``born``: the position from
    which on its location holds the value. ``fixed_def``: ``(index << 7 | register)`` of a fixed
    definition, or -1.
    ``home_block``: the block that defines it, or -1. ``hint_use``, ``hint_def``: a register it is
    fixed to somewhere, or -1; ``kin``: a virtual register whose register it would like to have, or
    0.
    ``blocked_at``, ``blocked``: positions, ascending, and the mask of registers blocked there (the
    last position is NEVER). ``copies``: gap copies ``(index, from vreg, to)``, to a register or to
    the virtual register of a tied definition. ``plans``: for each instruction the
    tuple of its operands' indices in ``ops`` if they are plain, else a list of one
    ``(register or vreg, position)`` an operand.
    ``entries``: index of each block's entry. ``live_in``: for each block.
    """

    __slots__ = ("blocked", "blocked_at", "born", "copies", "end", "entries", "fixed_def", "hint_def",
                 "hint_use", "home_block", "kin", "live_in", "needs", "plans", "start")  # fmt: skip

    def __init__(self, vregs: int) -> None:
        size = FIRST_VREG + vregs
        self.start = [NEVER] * size
        self.end = [0] * size
        idle: list[list[int]] = [[]] * FIRST_VREG
        self.needs = idle + [[] for _ in range(vregs)]
        self.born = [0] * size
        self.fixed_def: dict[int, int] = {}
        self.home_block = [-1] * size
        self.hint_use = [-1] * size
        self.hint_def = [-1] * size
        self.kin = [0] * size
        self.blocked_at: list[int] = []
        self.blocked: list[int] = []
        self.copies: list[tuple[int, int, int]] = []
        self.plans: list[tuple[int, ...] | list[tuple[int, int]]] = []
        self.entries: list[int] = []
        self.live_in: list[list[int]] = []


def build_ranges(vcode: VCode, env: MachineEnv) -> Ranges:
    """Positions, ranges and constraints of ``vcode``. InternalError if they contradict each
    other.
    """
    ranges = Ranges(len(vcode.classes))
    start, end, needs = ranges.start, ranges.end, ranges.needs
    born, home_block, kin = ranges.born, ranges.home_block, ranges.kin
    plans = ranges.plans
    blocks = vcode.blocks
    crossing: dict[int, list[int]] = {}
    shapes = _SHAPES
    k = 0
    for b, block in enumerate(blocks):
        ranges.entries.append(k)
        at = 2 * k
        for vreg in block.params:
            start[vreg] = end[vreg] = born[vreg] = at
            home_block[vreg] = b
        for inst in block.insts:
            at += 2
            operands = inst.operands
            shape = shapes.get(id(operands))
            if shape is None or shape.operands is not operands:
                shape = shape_of(inst)
            if shape.plain and not inst.clobbers:
                ops = inst.ops
                plans.append(shape.order)
                for index in shape.uses:
                    vreg = ops[index]
                    need = needs[vreg]
                    if not need or need[-1] < at:
                        need.append(at)
                    end[vreg] = at + 1
                    if home_block[vreg] != b:
                        using = crossing.get(vreg)
                        if using is None:
                            crossing[vreg] = [b]
                        elif using[-1] != b:
                            using.append(b)
                at += 1
                for index in shape.defs:
                    vreg = ops[index]
                    start[vreg] = born[vreg] = at
                    if end[vreg] <= at:
                        end[vreg] = at + 1
                    needs[vreg].append(at)
                    home_block[vreg] = b
                at -= 1
                if shape.is_move:
                    _relate(kin, ops[0], ops[1])
            else:
                plans.append(_constrain(ranges, inst, shape, at >> 1, b, crossing, env))
        if block.succs and (inst.operands or inst.clobbers):
            _check_branch(inst, len(block.succs))
        if block.args:
            for arg, param in zip(block.args, blocks[block.succs[0]].params, strict=True):
                end[arg] = at + 2
                _relate(kin, param, arg)
                if home_block[arg] != b:
                    using = crossing.setdefault(arg, [b])
                    if using[-1] != b:
                        using.append(b)
        k = (at >> 1) + 1
    ranges.blocked_at.append(NEVER)
    ranges.blocked.append(0)
    if crossing:
        ranges.live_in, extents = walk_live_ins(blocks, crossing, home_block)
        entries = ranges.entries
        for vreg, (first, last) in extents.items():
            if start[vreg] > 2 * entries[first]:
                start[vreg] = 2 * entries[first]
            out = 2 * (entries[last + 1] if last + 1 < len(entries) else k)
            if end[vreg] < out:
                end[vreg] = out
    return ranges


def _check_branch(inst: MInst, succs: int) -> None:
    """InternalError if the moves of an edge have no place: a branch reads, at most, and an edge's
    moves before the only jump of its block would overwrite what that jump reads."""
    if succs == 1:
        raise InternalError(f"{inst.row.name}: a branch with one successor has register operands")
    if any(o.role in (DEF, EARLY_DEF) for o in inst.operands):
        raise InternalError(f"{inst.row.name}: a branch defines a register")


def _relate(kin: list[int], vreg: int, source: int) -> None:
    if not kin[vreg]:
        kin[vreg] = source
    kin[source] = vreg


def _constrain(
    ranges: Ranges,
    inst: MInst,
    shape: Shape,
    k: int,
    b: int,
    crossing: dict[int, list[int]],
    env: MachineEnv,
) -> list[tuple[int, int]]:
    """Enter an instruction with fixed, tied, early or late operands or clobbers; its plan."""
    at = 2 * k
    ops = inst.ops
    start, end, needs, born = ranges.start, ranges.end, ranges.needs, ranges.born
    tied, partners = shape.tied, shape.partners
    reads: dict[int, int] = {}
    early, late, written = 0, inst.clobbers, 0
    plan: list[tuple[int, int]] = []
    for operand in inst.operands:
        vreg = ops[operand.index]
        role = operand.role
        fixed = operand.fixed
        if role == USE or role == LATE_USE:
            partner = tied.get(operand.index)
            if partner is not None and partner.fixed >= 0:
                fixed = partner.fixed
            if ranges.home_block[vreg] != b:
                using = crossing.setdefault(vreg, [b])
                if using[-1] != b:
                    using.append(b)
            if fixed >= 0:
                bit = 1 << fixed
                if reads.setdefault(fixed, vreg) != vreg or fixed in env.scratch:
                    raise InternalError(
                        f"{inst.row.name}: {env.name(fixed)} is fixed for two uses, or scratch"
                    )
                early |= bit
                if role == LATE_USE:
                    late |= bit
                ranges.copies.append((k, vreg, fixed))
                ranges.hint_use[vreg] = fixed
                plan.append((fixed, at))
                dies = at
            elif partner is not None:
                result = ops[partner.index]
                ranges.copies.append((k, vreg, result))
                plan.append((result, at))
                _relate(ranges.kin, result, vreg)
                dies = at
            else:
                need = needs[vreg]
                if not need or need[-1] < at:
                    need.append(at)
                dies = at + 1
                if role == LATE_USE:
                    dies = at + 2
                    if need[-1] <= at:
                        need.append(at + 1)
                plan.append((vreg, at))
            if end[vreg] < dies:
                end[vreg] = dies
            continue
        ranges.home_block[vreg] = b
        if operand.tied >= 0 and fixed < 0:
            fixed = partners[operand.tied].fixed
        if fixed >= 0:
            bit = 1 << fixed
            if written & bit or fixed in env.scratch:
                raise InternalError(
                    f"{inst.row.name}: {env.name(fixed)} is defined twice, or scratch"
                )
            written |= bit
            late |= bit
            if role == EARLY_DEF:
                early |= bit
            first = at + 2
            ranges.fixed_def[vreg] = k << 7 | fixed
            ranges.hint_def[vreg] = fixed
            plan.append((fixed, at + 1))
        elif role == EARLY_DEF or operand.tied >= 0:
            first = at
            needs[vreg] += (at, at + 1)
            plan.append((vreg, at + 1))
        else:
            first = at + 1
            needs[vreg].append(first)
            plan.append((vreg, first))
        start[vreg] = born[vreg] = first
        if end[vreg] < at + 2:
            end[vreg] = at + 2
    if early:
        ranges.blocked_at.append(at)
        ranges.blocked.append(early)
    if late:
        ranges.blocked_at.append(at + 1)
        ranges.blocked.append(late)
    return plan
