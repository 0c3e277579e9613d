"""A symbolic checker of register allocations, in the manner of regalloc2's ``checker.rs``.

It knows nothing of how an allocation was made and shares no code with what made it. It walks the
allocated code and keeps track of which virtual registers' values lie where.

**Lattice.** A state maps a location (register or spill slot) to the set of virtual registers whose
current value it holds; a location without an entry holds nothing known. The state of an unvisited
block is top. The meet of two states is, by location, the intersection. States only go down, so the
walk ends.

**Transfer.**

- edit ``(to, from)``: ``to`` holds what ``from`` holds;
- use of v in l: refused unless v is among what l holds;
- clobber of r: r holds nothing known;
- definition of v in l: l holds v alone;
- edge with arguments: a location that holds argument a holds the parameter of a as well;
- definition of v again, in a loop: what held the old v no longer holds v. This is done when a block is entered, for
  all it defines: no use of an old value can come before.

**Rules** for an instruction: an operand is in a register of its class, or the one it is fixed to; a
tied definition is where its use is; definitions are apart; an early definition is apart from all
uses and a late use from all definitions and clobbers. For an edit: not from slot to slot; into a
register that is allocatable, scratch, or one this instruction has fixed a use to; slots exist and
hold values of their class.

Blocks are taken in the order of the layout, a block again only if what is known at its start
shrank: code without loops is walked once.
"""

from __future__ import annotations

from collections.abc import Container
from heapq import heapify, heappop, heappush
from typing import Final, NoReturn

from backend.errors import AllocationError
from backend.machine.registers import CLASS_NAMES, FIRST_VREG, MachineEnv
from backend.machine.vcode import DEF, EARLY_DEF, LATE_USE, USE, Allocation, MInst, Operand, VCode

State = dict[int, tuple[int, ...]]


def check_allocation(
    vcode: VCode,
    allocation: Allocation,
    env: MachineEnv,
    saved: frozenset[int] | None = None,
) -> None:
    """AllocationError unless ``allocation`` gives every use of ``vcode`` the value it asks for.

    ``saved``: the callee-saved registers that the prologue will save; no other may be written
    (None: not checked).
    """
    _Checker(vcode, allocation, env, saved).run()


class _Roles:
    """What a row's operands ask for when nothing is special about them but ties; ``plain`` says whether.

    ``uses``, ``defs``: ``(position among the operands, index in ops, class)``; ``ties``: positions of a definition and
    of the use that it is tied to.
    """

    __slots__ = ("defs", "operands", "plain", "ties", "uses")

    def __init__(self, operands: tuple[Operand, ...]) -> None:
        self.operands = operands
        tied = [(n, o.tied) for n, o in enumerate(operands) if o.tied >= 0]
        self.ties = tuple([(n, at) for n, index in tied
                           for at, o in enumerate(operands) if o.index == index and o.role == USE])  # fmt: skip
        self.plain = len(self.ties) == len(tied) and all(
            o.fixed < 0 and o.role in (USE, DEF) for o in operands
        )
        self.uses, self.defs = (
            tuple([(n, o.index, o.cls) for n, o in enumerate(operands) if o.role in roles])
            for roles in ((USE, LATE_USE), (DEF, EARLY_DEF))
        )


_ROLES: dict[int, _Roles] = {}
_MAX_ROLES: Final = 4096


def _roles_of(inst: MInst) -> _Roles:
    """The roles of an instruction's operands, remembered: they are its row's, or those of many functions' arguments.

    Remembered roles keep their operands alive, so an id that is found, and whose operands are the
    same object, is theirs.
    """
    roles = _ROLES.get(id(inst.operands))
    if roles is None or roles.operands is not inst.operands:
        roles = _Roles(inst.operands)
        if len(_ROLES) >= _MAX_ROLES:
            _ROLES.clear()
        _ROLES[id(inst.operands)] = roles
    return roles


def _live_ins(vcode: VCode) -> list[set[int]]:
    """The virtual registers live into each block: the usual backward dataflow, on sets."""
    blocks = vcode.blocks
    live: list[set[int]] = []
    defined: list[set[int]] = []
    for block in blocks:
        used: set[int] = set()
        made = set(block.params)
        for inst in block.insts:
            operands = inst.operands
            if operands:
                roles = _ROLES.get(id(operands))
                if roles is None or roles.operands is not operands:
                    roles = _roles_of(inst)
                ops = inst.ops
                for _, index, _ in roles.uses:
                    used.add(ops[index])
                for _, index, _ in roles.defs:
                    made.add(ops[index])
        used.update(block.args)
        used -= made
        live.append(used)
        defined.append(made)
    queue = [-b for b in range(len(blocks))]
    heapify(queue)
    queued = [True] * len(blocks)
    while queue:
        b = -heappop(queue)
        queued[b] = False
        inward = live[b]
        for pred in blocks[b].preds:
            known = live[pred]
            new = inward - defined[pred] - known
            if new:
                known |= new
                if not queued[pred]:
                    queued[pred] = True
                    heappush(queue, -pred)
    return live


class _Checker:
    __slots__ = ("_allocatable", "_allocation", "_allowed", "_classes", "_env", "_firsts", "_live_in",
                 "_several", "_slots", "_unsaved", "_vcode", "_writable")  # fmt: skip

    def __init__(
        self,
        vcode: VCode,
        allocation: Allocation,
        env: MachineEnv,
        saved: frozenset[int] | None,
    ) -> None:
        self._vcode = vcode
        self._allocation = allocation
        self._env = env
        self._classes = vcode.classes
        self._slots = len(allocation.spill_classes)
        self._allocatable = (frozenset(env.allocatable[0]), frozenset(env.allocatable[1]))
        #: what an edit may write, by class
        self._allowed = tuple(
            own | {scratch} for own, scratch in zip(self._allocatable, env.scratch, strict=True)
        )
        unsaved = frozenset() if saved is None else env.callee_saved - saved
        self._unsaved = _mask(unsaved)
        self._writable = tuple(own - unsaved for own in self._allocatable)
        self._firsts: list[int] = []
        count = 0
        for block in vcode.blocks:
            self._firsts.append(count)
            count += len(block.insts)
        if len(allocation.locations) != count:
            raise AllocationError(
                f"{vcode.name}: locations for {len(allocation.locations)} instructions of {count}"
            )
        for edited in allocation.edits:
            if not 0 <= edited < count:
                raise AllocationError(f"{vcode.name}: edits before instruction {edited} of {count}")
        #: whether any location ever held more than one virtual register
        self._several = False
        #: empty if there are no loops; every loop has a branch that doesn't go down the layout
        self._live_in: list[set[int]] = []
        if any(succ <= b for b, block in enumerate(vcode.blocks) for succ in block.succs):
            self._live_in = _live_ins(vcode)

    def run(self) -> None:
        blocks = self._vcode.blocks
        starts: list[State | None] = [None] * len(blocks)
        queue: list[int] = []
        if blocks:
            starts[0] = {}
            queue.append(0)
        while queue:
            b = heappop(queue)
            while queue and queue[0] == b:
                heappop(queue)
            start = starts[b]
            assert start is not None
            block = blocks[b]
            # What a block without successors leaves behind interests nobody.
            state = start.copy() if block.preds else start
            self._walk(b, state)
            for succ in block.succs:
                there = self._cross(state, block.args, succ)
                known = starts[succ]
                if known is None:
                    starts[succ] = there
                    heappush(queue, succ)
                elif _meet(known, there):
                    heappush(queue, succ)

    def _cross(self, state: State, args: list[int], succ: int) -> State:
        """The state at the start of ``succ``, after an edge that passes ``args``."""
        there: State
        if not args:
            if not self._live_in:
                return state.copy()
            wanted = self._live_in[succ]
            there = {at: held for at, held in state.items() if len(held) > 1 or held[0] in wanted}
            if self._several:
                for location, held in list(there.items()):
                    if len(held) > 1:
                        if kept := tuple([v for v in held if v in wanted]):
                            there[location] = kept
                        else:
                            del there[location]
            return there
        passed: dict[int, tuple[int, ...]] = {}
        for arg, param in zip(args, self._vcode.blocks[succ].params, strict=True):
            passed[arg] = (*passed.get(arg, ()), param)
        # Without loops nothing need be forgotten: all that is known stays.
        live: Container[int] = (
            self._live_in[succ]
            if self._live_in
            else range(FIRST_VREG, FIRST_VREG + len(self._classes))
        )
        there = {}
        for location, held in state.items():
            if len(held) == 1:
                vreg = held[0]
                params = passed.get(vreg)
                if params is None:
                    if vreg in live:
                        there[location] = held
                    continue
                held = held + params if vreg in live else params
            else:
                held = tuple([v for v in held if v in live]
                             + [p for v in held for p in passed.get(v, ())])  # fmt: skip
                if not held:
                    continue
            there[location] = held
            self._several |= len(held) > 1
        return there

    def _walk(self, b: int, state: State) -> None:
        """Check block ``b`` and turn ``state`` from that of its start into that of its end."""
        allocation = self._allocation
        edits, locations = allocation.edits, allocation.locations
        allocatable, writable = self._allocatable, self._writable
        roles = _ROLES
        i = self._firsts[b] - 1
        for inst in self._vcode.blocks[b].insts:
            i += 1
            if i in edits:
                self._edit(i, inst, state)
            places = locations[i]
            operands = inst.operands
            if not operands and not inst.clobbers and not places:
                continue
            row = roles.get(id(operands))
            if row is None or row.operands is not operands:
                row = _roles_of(inst)
            if not row.plain or inst.clobbers or len(places) != len(operands):
                self._check(i, inst, state)
                continue
            ops = inst.ops
            for n, index, cls in row.uses:
                place = places[n]
                if ops[index] not in state.get(place, ()) or place not in allocatable[cls]:
                    self._check(i, inst, state)
            for n, index, cls in row.defs:
                place = places[n]
                if place not in writable[cls]:
                    self._check(i, inst, state)
                state[place] = (ops[index],)
            for n, at in row.ties:
                if places[n] != places[at]:
                    self._check(i, inst, state)
            if len(row.defs) > 1:
                self._check_definitions(i, inst, [places[n] for n, _, _ in row.defs])

    def _check(self, i: int, inst: MInst, state: State) -> None:
        """All rules, for one instruction; the quick path of :meth:`_walk` is this for plain and tied operands."""
        ops, operands = inst.ops, inst.operands
        places = self._allocation.locations[i]
        if len(places) != len(operands):
            self._fail(i, inst, f"has {len(places)} locations for {len(operands)} operands")
        used = early = late = written = 0
        for operand, place in zip(operands, places, strict=True):
            if not 0 <= place < FIRST_VREG:
                self._fail(i, inst, f"{operand!r} is not in a register")
            bit = 1 << place
            if operand.fixed >= 0:
                if place != operand.fixed:
                    self._fail(i, inst, f"{operand!r} is in {self._env.name(place)}")
            elif (
                place not in self._allocatable[operand.cls]
                and operand.tied < 0
                and not _tied_to(operand, operands)
            ):
                self._fail(i, inst, f"{operand!r} is in {self._env.name(place)}, which is not an "
                           f"allocatable {CLASS_NAMES[operand.cls]} register")  # fmt: skip
            role = operand.role
            if role == USE or role == LATE_USE:
                if ops[operand.index] not in state.get(place, ()):
                    self._fail_use(i, inst, operand, place, state)
                used |= bit
                if role == LATE_USE:
                    late |= bit
            else:
                written |= bit
                if role == EARLY_DEF:
                    early |= bit
                if operand.tied >= 0:
                    self._check_tie(i, inst, operand, place)
        clobbers = inst.clobbers
        if early & used or late & (written | clobbers):
            self._check_apart(i, inst)
        if clobbers:
            for location in [r for r in state if r >= 0 and clobbers >> r & 1]:
                del state[location]
        definitions = []
        for operand, place in zip(operands, places, strict=True):
            if operand.role == DEF or operand.role == EARLY_DEF:
                vreg = ops[operand.index]
                if self._classes[vreg - FIRST_VREG] != operand.cls:
                    self._fail(i, inst, f"{operand!r} defines a register of the other class")
                state[place] = (vreg,)
                definitions.append(place)
        self._check_definitions(i, inst, definitions)
        if (written | clobbers) & self._unsaved:
            self._fail(i, inst, "writes a callee-saved register that is not saved")

    def _check_definitions(self, i: int, inst: MInst, places: list[int]) -> None:
        if len(set(places)) != len(places):
            self._fail(i, inst, "two definitions share a register")

    def _edit(self, i: int, inst: MInst, state: State) -> None:
        fixed = [o.fixed for o in inst.operands if o.role == USE or o.role == LATE_USE]
        fixed += [o.fixed for o in inst.operands if o.tied >= 0]
        for to, source in self._allocation.edits[i]:
            if to < 0 and source < 0:
                self._fail(i, inst, "an edit goes from slot to slot")
            if to >= FIRST_VREG or source >= FIRST_VREG or min(to, source) < -self._slots:
                self._fail(i, inst, f"an edit from {source} to {to}: no such location")
            held = state.get(source)
            if to < 0:
                right = held is None or (
                    self._allocation.spill_classes[-1 - to] == self._classes[held[0] - FIRST_VREG]
                )
            elif held is None:
                right = to in self._allowed[0] or to in self._allowed[1] or to in fixed
            else:
                cls = self._classes[held[0] - FIRST_VREG]
                right = to in self._allowed[cls] or (
                    to in fixed and to not in self._allowed[1 - cls]
                )
            if not right:
                what = "nothing known" if held is None else self._env.name(held[0])
                self._fail(i, inst, f"an edit moves {what} to {self._env.name(to)}, "
                           "which is not for it")  # fmt: skip
            if to >= 0 and self._unsaved >> to & 1:
                self._fail(i, inst, f"an edit writes {self._env.name(to)}, which is not saved")
            if held is None:
                state.pop(to, None)
            else:
                state[to] = held

    def _check_tie(self, i: int, inst: MInst, operand: Operand, place: int) -> None:
        for other, where in zip(inst.operands, self._allocation.locations[i], strict=True):
            if other.index == operand.tied and other.role in (USE, LATE_USE):
                if where != place:
                    self._fail(i, inst, f"{operand!r} is in {self._env.name(place)}, its tied use "
                               f"in {self._env.name(where)}")  # fmt: skip
                return
        self._fail(i, inst, f"{operand!r} is tied to nothing")

    def _check_apart(self, i: int, inst: MInst) -> None:
        """Refuse a common register of an early definition and a use, of a late use and a definition
        or a clobber. Only what is tied together may share one.
        """
        pairs = list(zip(inst.operands, self._allocation.locations[i], strict=True))
        for use, place in pairs:
            if use.role != USE and use.role != LATE_USE:
                continue
            name = self._env.name(place)
            if use.role == LATE_USE and inst.clobbers >> place & 1:
                self._fail(i, inst, f"a late use is in {name}, a clobber")
            for definition, written in pairs:
                if written != place or definition.tied == use.index:
                    continue
                if definition.role == EARLY_DEF:
                    self._fail(i, inst, f"an early definition and a use share {name}")
                if definition.role == DEF and use.role == LATE_USE:
                    self._fail(i, inst, f"a late use and a definition share {name}")

    def _fail_use(
        self, i: int, inst: MInst, operand: Operand, place: int, state: State
    ) -> NoReturn:
        name = self._env.name
        vreg = inst.ops[operand.index]
        held = ", ".join(name(v) for v in state.get(place, ())) or "nothing known"
        elsewhere = ", ".join(name(r) for r in sorted(state) if vreg in state[r]) or "nowhere"
        self._fail(i, inst, f"{operand!r} reads {name(vreg)} from {name(place)}, which holds {held}; "
                   f"{name(vreg)} is in {elsewhere}")  # fmt: skip

    def _fail(self, i: int, inst: MInst, message: str) -> NoReturn:
        b = max(n for n, first in enumerate(self._firsts) if first <= i)
        raise AllocationError(
            f"{self._vcode.name}: block {b}, instruction {i} ({inst.row.name}): {message}"
        )


def _mask(registers: frozenset[int]) -> int:
    mask = 0
    for register in registers:
        mask |= 1 << register
    return mask


def _tied_to(operand: Operand, operands: tuple[Operand, ...]) -> bool:
    """Whether a definition with a fixed register is tied to this use."""
    return any(o.tied == operand.index and o.fixed >= 0 for o in operands)


def _meet(known: State, there: State) -> bool:
    """Lower ``known`` to what ``there`` agrees with; whether that changed anything."""
    changed = False
    for location in list(known):
        held = known[location]
        other = there.get(location)
        if other == held:
            continue
        common = () if other is None else tuple([v for v in held if v in other])
        if len(common) != len(held):
            changed = True
            if common:
                known[location] = common
            else:
                del known[location]
    return changed
