"""What became of each CLIF instruction, and where its values are: for whoever explains what went wrong.

Nothing of this is kept while compiling, which is the hot path. When asked, lowering and emission are run again
under observation, on the same function and the same allocation. Both are deterministic, and that is not trusted:
emission has to give the same bytes again, or there is no answer.

A CLIF value is wherever the machine instruction that defines it put it, when that instruction is done, and wherever
one that uses it looks for it, when that one begins; so is each half of an i128 by itself. In between the allocator
may move it. A constant is made anew for each use. A value that nobody needed in a register (a comparison made by the
branch that uses it) is nowhere.

Positions of CLIF instructions are those in the layout of the function that was given to the compiler, not
of the one after expansion.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.errors import InternalError
from backend.ir.entities import Function
from backend.ir.types import I128
from backend.lower.driver import Lowering
from backend.lower.expand import Lacking, expand
from backend.machine.buffer import Finished
from backend.machine.emit import Emitter
from backend.machine.frame import Frame
from backend.machine.registers import MachineEnv
from backend.machine.stages import print_instruction
from backend.machine.vcode import DEF, EARLY_DEF, Allocation, MInst, VCode

if TYPE_CHECKING:
    from backend.isa.isa import Isa
    from backend.lower.rules import Dispatch
    from backend.options import Options

# What a span of bytes is.
PROLOGUE: Final = "prologue"
INST: Final = "inst"
"""The words of a machine instruction; a return's are the epilogue."""
MOVE: Final = "move"
"""The allocator's moves before it."""
ISLAND: Final = "island"
TRAP: Final = "trap"
"""The word that a branch of it goes to in order to trap."""


class Place(NamedTuple):
    """A CLIF value in a register, by the ISA's name of it; ``part``: which 64 bits of an i128, 0 the lower ones."""

    value: int
    register: str
    part: int = 0


class PlacedInst(NamedTuple):
    """One machine instruction. ``block``: number of its machine block; ``origin``: position of its CLIF
    instruction, or -1; ``row``: name of its table row; ``text``: it, over virtual registers; ``uses``, ``defs``:
    the CLIF values it reads and makes, and where.
    """

    block: int
    origin: int
    row: str
    text: str
    uses: tuple[Place, ...]
    defs: tuple[Place, ...]


class PlacedBlock(NamedTuple):
    """One machine block. ``first``: number of its first instruction; ``clif``: number of the CLIF block
    it is, or -1 for the block of an edge; ``succs``: numbers of machine blocks; ``args``: the CLIF values that
    it passes to its only successor, -1 for what is none."""

    first: int
    clif: int
    succs: tuple[int, ...]
    args: tuple[int, ...]


class Span(NamedTuple):
    """Bytes ``start`` to ``end`` of the code belong to machine instruction ``inst`` (-1: the prologue) as ``kind``."""

    start: int
    end: int
    inst: int
    kind: str


@dataclass(frozen=True, slots=True)
class Places:
    """``insts``, ``blocks``: in the order of the vcode; ``spans``: by offset; ``slots``: offset of each explicit
    stack slot, ``spills``: of each spill slot, in bytes from the stack pointer after the prologue; ``rules``:
    by position of a CLIF instruction the names of the lowering rules that fired for it, -1 the arguments;
    ``encoded``: by offset the bytes that an instruction's row encodes it as, its label patched in; ``misplaced``:
    numbers of instructions that were emitted with other registers than they were allocated; ``moved``: by position of
    a load that another instruction makes, the position of that one.
    """

    insts: list[PlacedInst]
    blocks: list[PlacedBlock]
    spans: list[Span]
    slots: dict[int, int]
    spills: list[int]
    rules: dict[int, tuple[str, ...]]
    encoded: dict[int, bytes]
    misplaced: set[int]
    moved: dict[int, int]


def find_places(
    function: Function,
    simple: Function,
    isa: Isa,
    options: Options,
    vcode: VCode,
    allocation: Allocation,
    frame: Frame,
    code: bytes,
) -> Places:
    """The places of ``function``'s values in ``code``; ``simple`` is it after expansion.

    InternalError if observing the compiler again gives another code than ``code``.
    """
    positions = _positions(function, isa.lacking)
    rules = isa.rule_set.dispatch(options.disabled_rules, options.features(isa.name))
    lowering = _ObservedLowering(simple, isa, rules)
    lowering.run()
    emitter = _ObservedEmitter(isa, frame, options.branch_reach)
    finished = emitter.run(vcode, allocation, options)
    if finished.code != code:
        raise InternalError("emitting the same function again gave other bytes")
    env = isa.env(options.registers, function.signature.callconv)
    homes = _homes(simple, vcode)
    values = _values(function, simple, lowering, vcode, homes, isa)
    spans = emitter.all_spans(finished)
    return Places(
        _insts(vcode, allocation, positions, values, env),
        _blocks(simple, vcode, homes, values),
        spans,
        dict(frame.slots),
        list(frame.spills),
        lowering.fired(positions),
        _encoded(emitter, finished),
        _misplaced(emitter, spans, vcode, allocation),
        lowering.moved(positions),
    )


# ---- expansion


def _positions(function: Function, lacking: Lacking) -> list[int]:
    """For each instruction after expansion the position of the one it comes from.

    A part of an expansion keeps the source location of what it is a part of, so positions travel as source
    locations; a constant made for a part has none and comes right before it.
    """
    stamped = function.copy()
    for position, inst in enumerate(stamped.instructions()):
        inst.srcloc = position
    positions: list[int] = []
    waiting = 1
    for inst in expand(stamped, lacking).instructions():
        if inst.srcloc is None:
            waiting += 1
        else:
            positions += [inst.srcloc] * waiting
            waiting = 1
    return positions


# ---- lowering, observed


class _Fired(set[int]):
    """The set of rules that fired, which also notes for which instruction."""

    def __init__(self, lowering: Lowering) -> None:
        super().__init__()
        self.lowering = lowering
        self.log: dict[int, list[int]] = {}

    def add(self, rule: int) -> None:
        super().add(rule)
        fired = self.log.setdefault(self.lowering.origin, [])
        if rule not in fired:
            fired.append(rule)


class _ObservedLowering(Lowering):
    """A lowering that can tell afterwards which value is in which virtual register, and what fired where."""

    def __init__(self, function: Function, isa: Isa, dispatch: Dispatch) -> None:
        super().__init__(function, isa, dispatch)
        self.hits = _Fired(self)
        #: the value that a virtual register was asked for
        self.asked: dict[int, int] = {}

    def use(self, value: int) -> int:
        vreg = super().use(value)
        self.asked[vreg] = value
        return vreg

    result = use

    def extended(self, value: int, bits: int, signed: bool) -> int:
        vreg = super().extended(value, bits, signed)
        self.asked[vreg] = value
        return vreg

    def fired(self, positions: list[int]) -> dict[int, tuple[str, ...]]:
        """Names of the rules by position, those of an instruction's parts together."""
        assert isinstance(self.hits, _Fired)
        found: dict[int, tuple[str, ...]] = {}
        for origin, numbers in sorted(self.hits.log.items()):
            position = positions[origin] if origin >= 0 else -1
            names = tuple(self.isa.rules[number].name for number in numbers)
            found[position] = tuple(dict.fromkeys((*found.get(position, ()), *names)))
        return found

    def moved(self, positions: list[int]) -> dict[int, int]:
        """The position of each load that another instruction makes, and of that one."""
        found: dict[int, int] = {}
        for inst, position in zip(self.function.instructions(), positions, strict=True):
            if inst.results and inst.results[0] in self.sunk:
                found[position] = positions[self.sunk[inst.results[0]]]
        return found


def _homes(simple: Function, vcode: VCode) -> list[int]:
    """The CLIF block that each machine block is, or -1.

    A block's own machine block comes before those of its edges, and holds what comes from its instructions.
    """
    home: dict[int, int] = {}
    position = 0
    for block in simple.blocks:
        for _ in block.insts:
            home[position] = block.id
            position += 1
    seen: set[int] = set()
    found: list[int] = []
    for vblock in vcode.blocks:
        clif = next((home[inst.origin] for inst in vblock.insts if inst.origin in home), -1)
        if clif in seen:
            clif = -1
        seen.add(clif)
        found.append(clif)
    return found


Held = tuple[int, int]
"""What a virtual register holds: a CLIF value, and which part of it (see :class:`Place`)."""
_NOTHING: Final = (-1, 0)


def _held(vregs: list[int], values: list[int], function: Function) -> list[tuple[int, Held]]:
    """What each of ``vregs`` holds, which hold ``values`` in order, an i128 in two of them."""
    held = [
        (value, part)
        for value in values
        for part in range(2 if function.value_types[value] is I128 else 1)
    ]
    return list(zip(vregs, held, strict=True))


def _blocks(
    simple: Function, vcode: VCode, homes: list[int], values: dict[int, Held]
) -> list[PlacedBlock]:
    found: list[PlacedBlock] = []
    params = {block.id: block.params for block in simple.blocks}
    first = 0
    for vblock, clif in zip(vcode.blocks, homes, strict=True):
        passed = vblock.args
        if passed and homes[vblock.succs[0]] >= 0:
            wanted = _held(passed, params[homes[vblock.succs[0]]], simple)
            passed = [vreg for vreg, (_, part) in wanted if not part]
        args = tuple(values.get(arg, _NOTHING)[0] for arg in passed)
        found.append(PlacedBlock(first, clif, tuple(vblock.succs), args))
        first += len(vblock.insts)
    return found


def _values(
    function: Function,
    simple: Function,
    lowering: _ObservedLowering,
    vcode: VCode,
    homes: list[int],
    isa: Isa,
) -> dict[int, Held]:
    """What each virtual register holds, for those that hold one of ``function``'s values."""
    known = function.value_types
    values: dict[int, Held] = {}
    for vreg, value in lowering.asked.items():
        if value in known:
            pair = [vreg, vreg + 1] if known[value] is I128 else [vreg]
            values.update(_held(pair, [value], function))
    params = {block.id: block.params for block in simple.blocks}
    for vblock, clif in zip(vcode.blocks, homes, strict=True):
        if vblock.params and clif >= 0:
            values.update(_held(vblock.params, params[clif], simple))
    # A value with a home in another class of registers is in both, one a copy of the other.
    copies = [inst for vblock in vcode.blocks for inst in vblock.insts if inst.row in isa.crossings]
    for inst in (*copies, *copies[::-1]):
        to, source = inst.ops
        if source in values:
            values.setdefault(to, values[source])
        elif to in values:
            values[source] = values[to]
    return values


def _insts(
    vcode: VCode,
    allocation: Allocation,
    positions: list[int],
    values: dict[int, Held],
    env: MachineEnv,
) -> list[PlacedInst]:
    found: list[PlacedInst] = []
    for number, block in enumerate(vcode.blocks):
        for inst in block.insts:
            uses: list[Place] = []
            defs: list[Place] = []
            locations = allocation.locations[len(found)]
            for operand, location in zip(inst.operands, locations, strict=True):
                held = values.get(inst.ops[operand.index])
                if held is not None:
                    made = operand.role in (DEF, EARLY_DEF)
                    (defs if made else uses).append(Place(held[0], env.name(location), held[1]))
            text = print_instruction(inst, [inst.ops[o.index] for o in inst.operands], env)
            origin = positions[inst.origin] if inst.origin >= 0 else -1
            found.append(
                PlacedInst(number, origin, inst.row.name, text, tuple(uses), tuple(defs))
            )  # fmt: skip
    return found


# ---- emission, observed


def _encoded(emitter: Emitter, finished: Finished) -> dict[int, bytes]:
    made: dict[int, bytes] = {}
    for offset, row, ops in emitter.items:
        code = row.encode(ops)
        made[offset] = code.to_bytes(4, "little") if isinstance(code, int) else code
    near = {use.short.use.name for use in emitter.uses.values() if use.short is not None}
    for patched, owner, target, kind in finished.audit.fixups:
        if owner in made:
            size = 1 if kind in near else 4
            head, tail = made[owner][:-size], made[owner][-size:]
            # Relative to the word that is patched, which should be the owner's.
            word = emitter.uses[kind].patch(int.from_bytes(tail, "little"), target - patched)
            made[owner] = head + word.to_bytes(size, "little")
    return made


def _misplaced(
    emitter: Emitter, spans: list[Span], vcode: VCode, allocation: Allocation
) -> set[int]:
    owners = {span.start: span.inst for span in spans if span.kind == INST}
    insts = [inst for block in vcode.blocks for inst in block.insts]
    found: set[int] = set()
    for offset, row, ops in emitter.items:
        number = owners.get(offset, -1)
        # What is one instruction is emitted as itself, unless it is a branch turned around.
        if number < 0 or row is not insts[number].row:
            continue
        operands = zip(insts[number].operands, allocation.locations[number], strict=True)
        if any(ops[operand.index] != location for operand, location in operands):
            found.add(number)
    return found


class _Watched(list[MInst]):
    """A block's instructions; tells the emitter's observer when the next one is asked for."""

    def __init__(self, insts: list[MInst], emitter: _ObservedEmitter, first: int) -> None:
        super().__init__(insts)
        self.emitter = emitter
        self.first = first

    def __iter__(self) -> Iterator[MInst]:
        for number, inst in enumerate(super().__iter__(), self.first):
            self.emitter.begin(number)
            yield inst
        self.emitter.begin(-1)


class _ObservedEmitter(Emitter):
    """An emitter that notes which bytes it put for what."""

    def __init__(self, isa: Isa, frame: Frame, reach: int) -> None:
        super().__init__(isa, frame, reach)
        self.spans: list[Span] = []
        self.owners: list[int] = []
        self.current = -1
        self.since = 0

    def begin(self, number: int) -> None:
        """Instruction ``number`` comes next, or -1: something else."""
        here = self.buffer.offset
        if self.current >= 0:
            self._note(self.since, INST)
        elif not any(span.kind == PROLOGUE for span in self.spans):
            self._note(0, PROLOGUE)
        self.current = number
        self.since = here

    def _note(self, start: int, kind: str) -> None:
        """From ``start`` to here it is ``kind``, but for what was noted already."""
        for span in [s for s in self.spans if s.start >= start]:
            if span.start > start:
                self.spans.append(Span(start, span.start, self.current, kind))
            start = span.end
        if self.buffer.offset > start:
            self.spans.append(Span(start, self.buffer.offset, self.current, kind))
        self.spans.sort()

    def _emit_block(
        self, insts: list[MInst], index: int, allocation: Allocation, short: bool
    ) -> bool:
        return super()._emit_block(_Watched(insts, self, index), index, allocation, short)

    def _emit_moves(self, moves: list[tuple[int, int]]) -> None:
        start = self.buffer.offset
        super()._emit_moves(moves)
        self._note(start, MOVE)

    def _island(self, size: int, falls: bool) -> None:
        start = self.buffer.offset
        super()._island(size, falls)
        self._note(start, ISLAND)

    def trap_label(self, code: int) -> int:
        self.owners.append(self.current)
        return super().trap_label(code)

    def _trap_bytes(self) -> int:
        row = self.isa.trap
        code = row.encode([0] * len(row.fields))
        return 4 if isinstance(code, int) else len(code)

    def all_spans(self, finished: Finished) -> list[Span]:
        """Every span, those of the traps behind the code included."""
        label_offsets, moved = finished.label_offsets, finished.moved
        if moved is not None:
            self.spans = [
                span._replace(start=moved(span.start), end=moved(span.end)) for span in self.spans
            ]
        known = {span.start for span in self.spans}
        for (label, _), owner in zip(self._traps, self.owners, strict=True):
            at = label_offsets[label]
            if at not in known:
                self.spans.append(Span(at, at + self._trap_bytes(), owner, TRAP))
        return sorted(self.spans)
