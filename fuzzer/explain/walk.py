"""The first place where the machine and the reference part: both walked along together.

The trace gives the order. Each step belongs to a machine instruction (:mod:`backend.machine.places`), each machine
block that is a CLIF block to the reference's next visit of that block. Before an instruction begins, the CLIF values
it uses are compared where it will read them; when it is done, those it makes, where it put them. Only the bits of a
value's type count, without those of a NaN that are open; each half of an i128 is compared by itself. What is compared
at both ends can be told apart: wrong where it is made (lowering, encoding), or right there and wrong where it is used
(moves, spills, edges).

Instructions without words (a move of a register to itself, a jump to the next block, the arguments) are passed over in
their order. Machine blocks without words are skipped in the reference's visits.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final, Literal

from backend.ir.entities import Inst, Value
from backend.ir.types import I64, I128
from backend.machine.places import INST, MOVE, PROLOGUE, TRAP, Place, Places, Span
from fuzzer.execute import layout
from fuzzer.execute.emulator import RETURN
from fuzzer.explain.history import History, Visit, slot_of, stack_dependent
from fuzzer.explain.machine import Machine
from fuzzer.explain.model import Divergence
from fuzzer.explain.tracer import MAX_STEPS, TraceStep
from fuzzer.explain.verdicts import Cause
from fuzzer.explain.written import written
from fuzzer.reference.memory import ADDRESS_MASK
from fuzzer.reference.open_bits import parts
from fuzzer.reference.semantics import STORES

Byte = tuple[int, int]
"""A byte in memory, and the mask of its bits that may be any."""
_HALVES: Final = ("lower", "upper")
_CONSTANTS: Final = ("iconst", "f32const", "f64const")


class Seen:
    """A CLIF value as the machine last had it: ``expected``, ``got`` and ``where``, for people."""

    __slots__ = ("expected", "got", "where")

    def __init__(self, expected: str, got: str, where: str) -> None:
        self.expected = expected
        self.got = got
        self.where = where


class _Parted(Exception):
    """The walk is over: this went wrong first."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.divergence.text)
        self.cause = cause


class Walk:
    """One walk. :meth:`run` gives the cause or None; ``seen``: by CLIF value what was compared last."""

    def __init__(self, history: History, places: Places, machine: Machine) -> None:
        self.history = history
        self.places = places
        self.machine = machine
        self.seen: dict[Value, Seen] = {}
        self.types = history.function.value_types
        self.unstable = stack_dependent(history.function)
        self.slots = list(history.function.stack_slots)
        self.starts = [span.start for span in places.spans]
        #: offsets of the words of each machine instruction that has some
        self.words_of: dict[int, list[int]] = {}
        for span in places.spans:
            if span.kind == INST:
                words = self.words_of.setdefault(span.inst, [])
                words += [at for at in machine.texts if span.start <= at < span.end]
        self.visible = self._visible_blocks()
        self.sp = 0
        self.visit: Visit | None = None
        self.next = 0
        #: the machine instruction being executed, and the offset it is at
        self.current = -1
        self.offset = -1
        self.words: list[int] = []
        #: step at which a value, by part, was last seen right, and where
        self.right: dict[tuple[Value, int], tuple[int, str]] = {}
        #: what was seen of an i128 by part, and where
        self.halves: dict[Value, dict[int, tuple[int, str]]] = {}

    # ---- the map

    def _visible_blocks(self) -> set[int]:
        """CLIF blocks that have words, so that a trace shows when they are entered."""
        insts, blocks = self.places.insts, self.places.blocks
        return {
            blocks[insts[span.inst].block].clif
            for span in self.places.spans
            if span.inst >= 0 and span.kind in (INST, MOVE)
        }

    def span_at(self, offset: int) -> Span | None:
        """The span that the word at ``offset`` is in."""
        at = bisect_right(self.starts, offset) - 1
        if at < 0 or offset >= self.places.spans[at].end:
            return None
        return self.places.spans[at]

    # ---- the walk

    def run(self) -> Cause | None:
        """Walk to the first difference; None if there is none before the last recorded step is done, or if the
        function may be entered again: a step does not say of which activation it is."""
        steps = self.machine.trace.steps
        if self.history.recurs:
            for step in steps:
                self.machine.apply(step)
            return None
        try:
            for step in steps:
                span = self.span_at(step.offset)
                if span is not None and span.kind != PROLOGUE and span.inst >= 0:
                    self._arrive(step.offset, span)
                self.machine.apply(step)
            self._finish()
        except _Parted as parted:
            for step in steps[self.machine.done :]:
                self.machine.apply(step)
            return parted.cause
        return None

    def _arrive(self, offset: int, span: Span) -> None:
        """The word at ``offset`` is next."""
        if span.kind == TRAP:
            self._complete()
            self._trap(span, offset)
            return
        if span.kind not in (INST, MOVE):
            return
        number, insts = span.inst, self.places.insts
        if number == self.current and offset > self.offset:
            if span.kind == INST and offset == self.words[0]:
                self._begin(number)
            self.offset = offset
            return
        before = self.current
        self._complete()
        block = insts[number].block
        if before >= 0 and insts[before].block == block and number > before:
            self._pass_over(before + 1, number)
        else:
            if before >= 0:
                self._pass_over(before + 1, self._end_of(insts[before].block))
            self._enter(block)
            self._pass_over(self.places.blocks[block].first, number)
        self.current, self.offset = number, offset
        self.words = self.words_of.get(number, [])
        if span.kind == INST:
            self._begin(number)

    def _end_of(self, block: int) -> int:
        blocks = self.places.blocks
        return blocks[block + 1].first if block + 1 < len(blocks) else len(self.places.insts)

    def _pass_over(self, first: int, end: int) -> None:
        """Instructions that control went past: those without words took place, the others were jumped over."""
        for number in range(first, end):
            if number not in self.words_of:
                self.words = []
                self._begin(number)
                self._check_defs(number)

    def _enter(self, block: int) -> None:
        if not self.sp:
            self.sp = self.machine.registers["sp"]
        clif = self.places.blocks[block].clif
        if clif < 0:
            return
        visits = self.history.visits
        while self.next < len(visits) and visits[self.next].block not in self.visible:
            self.visit = visits[self.next]
            self.next += 1
        if self.next >= len(visits):
            last = visits[-1]
            inst = self._last_inst(last)
            if last.trapped:
                self._part("trap", f"{inst.op.name} traps in the reference, but the code goes on to block{clif}",
                           expected="trap", got="no trap", position=self._position(last))  # fmt: skip
            self._part("branch", f"the reference is done with {inst.op.name}, but the code goes on to block{clif}",
                       position=self._position(last))  # fmt: skip
        wanted = visits[self.next]
        if wanted.block != clif:
            came = self.visit.block if self.visit is not None else wanted.block
            terminator = self.history.blocks[came].terminator
            position = self.history.position[came] + len(self.history.blocks[came].insts) - 1
            self._part(
                "branch",
                f"{terminator.op.name} of block{came} goes to block{wanted.block} in the reference, but the "
                f"code goes to block{clif}, after {self._previous()}; all values were right",
                expected=f"block{wanted.block}", got=f"block{clif}", position=position,
            )  # fmt: skip
        self.visit = wanted
        self.next += 1

    def _previous(self) -> str:
        return self.machine.asm_of(self.machine.done - 1) if self.machine.done else "the call"

    def _last_inst(self, visit: Visit) -> Inst:
        return self.history.insts[self._position(visit)]

    def _position(self, visit: Visit) -> int:
        return self.history.position[visit.block] + visit.executed - 1

    def _trap_position(self, visit: Visit) -> int:
        """Where the code is to trap: at the instruction that makes the load, if it is a load that another one makes."""
        position = self._position(visit)
        return self.places.moved.get(position, position)

    # ---- one instruction

    def _begin(self, number: int) -> None:
        """The operands of instruction ``number`` are read now."""
        visit, inst = self.visit, self.places.insts[number]
        if visit is None:
            return
        if visit.trapped and self.next == len(self.history.visits):
            trapped = self._trap_position(visit)
            if inst.origin > trapped and self.words:
                name = self.history.insts[trapped].op.name
                known = any(each.origin == trapped for each in self.places.insts)
                missing = "" if known else ", and no code was made for it"
                text = f"{name} traps in the reference, but the code goes on behind it to "
                self._part("trap" if known else "missing", f"{text}{self.machine.asm(self.words[0])}{missing}",
                           expected="trap", got="no trap", position=trapped)  # fmt: skip
        for place in inst.uses:
            self._check(number, place, used=True)

    def _complete(self) -> None:
        """The instruction that was being executed is done."""
        if self.current >= 0:
            self._check_stores(self.current)
            self._check_defs(self.current)
        self.current = -1

    def _check_defs(self, number: int) -> None:
        for place in self.places.insts[number].defs:
            self._check(number, place, used=False)

    def _check(self, number: int, place: Place, *, used: bool) -> None:
        value, register, part = place
        if self.visit is None or value not in self.visit.values:
            return
        bits, mask = parts(self.visit.values[value])
        expected = self._translated(value, bits)
        if expected is None:
            return
        type_ = self.types[value]
        got = self.machine.registers[register] & type_.mask
        if type_ is I128:
            self._note_half(place, expected, got, used=used)
            type_, shift = I64, 64 * part
            expected, mask = expected >> shift & I64.mask, mask >> shift & I64.mask
        right, found = written(expected, type_, mask), written(got, type_)
        if type_ is self.types[value]:
            self.seen[value] = Seen(right, found, register)
        if not (got ^ expected) & ~mask:
            self.right[value, part] = self.machine.done, register
            return
        self._value_wrong(number, place, right, found, used=used)

    def _note_half(self, place: Place, expected: int, got: int, *, used: bool) -> None:
        """A half of an i128 was seen, and so is the value once both are; a new definition begins anew."""
        halves = self.halves.setdefault(place.value, {})
        if not used and place.part in halves:
            halves.clear()
        halves[place.part] = got, place.register
        if len(halves) == 2:
            (low, first), (high, second) = halves[0], halves[1]
            seen = Seen(f"{expected:#x}", f"{high << 64 | low:#x}", f"{first}, {second}")
        else:
            half = expected >> 64 * place.part & I64.mask
            where = f"{place.register}, the {_HALVES[place.part]} half"
            seen = Seen(f"{half:#x}", f"{got:#x}", where)
        self.seen[place.value] = seen

    def _translated(self, value: Value, bits: int) -> int | None:
        """What the machine has to have for ``bits`` of the reference; None if that can't be said."""
        if value not in self.unstable:
            return bits
        found = slot_of(bits)
        if found is None or found[0] >= len(self.slots) or self.types[value].bits != 64:
            return None
        number = self.slots[found[0]]
        return (self.sp + self.places.slots[number] + found[1]) & ADDRESS_MASK

    # ---- what is wrong

    def _part(self, kind: str, text: str, *, expected: str = "", got: str = "", where: str = "", value: Value = -1,
              position: int = -1, inst: int = -1, step: int | None = None) -> None:  # fmt: skip
        steps = self.machine.trace.steps
        step = self.machine.done - 1 if step is None else step
        offset = steps[step].offset if 0 <= step < len(steps) else -1
        divergence = Divergence(
            text + ".", f"v{value}" if value >= 0 else "", expected, got, where, offset, step
        )
        offsets = self.words if inst >= 0 else [offset]
        raise _Parted(Cause(kind, divergence, position, inst, list(offsets), value))

    def _value_wrong(
        self, number: int, place: Place, expected: str, got: str, *, used: bool
    ) -> None:
        value, register, part = place
        machine, inst = self.machine, self.places.insts[number]
        fact = f"{got} in {register}, expected {expected}"
        made = self._definition(value)
        half = f"the {_HALVES[part]} half of " if self.types[value] is I128 else ""
        said = f"{half}v{value}" + (f" ({self.history.insts[made].op.name})" if made >= 0 else "")
        block = self._block_of_param(value)
        if not used and block == self.history.function.entry.id:
            self._part("argument", f"{half}v{value} is looked for in {register}, where it is not: {fact}, after "
                       f"{self._previous()}", expected=expected, got=got, where=register,
                       value=value, inst=number)  # fmt: skip
        if not used:
            by = self._previous() if self.words else f"`{inst.text}`, which takes no instruction"
            kind = "made" if self._operands_seen(made) else "computed"
            pool = self._read_of_code()
            if pool >= 0:
                kind, by = "pool", f"{by} read it in the code at {pool:#x}"
            self._part(kind, f"{said} is wrong where it is made: {fact}, after {by}",
                       expected=expected, got=got, where=register, value=value,
                       position=made, inst=number)  # fmt: skip
        user = machine.asm(self.words[0]) if self.words else f"`{inst.text}`"
        if inst.row == "ret":
            user = "the return"
        writer = machine.writers.get(register, -1)
        if (value, part) in self.right:
            step, where = self.right[value, part]
            since = machine.asm_of(step - 1) if step else "the call"
            text = (
                f"{said} was right in {where} after {since}, but is {fact}, where {user} uses it; "
            )
            kind = "lost"
        elif block >= 0 and block != self.history.function.entry.id:
            text = f"{said}, a parameter of block{block}, is {fact}, where {user} uses it; "
            kind = "passed" if self._passes_right(block) else "edge"
        else:
            text = f"{said} is {fact}, where {user} uses it; "
            kind = "lost" if made < 0 else "computed"
        self._part(kind, text + machine.origin_of(register), expected=expected, got=got,
                   where=register, value=value, position=made if kind == "computed" else inst.origin, inst=number,
                   step=writer if writer >= 0 else None)  # fmt: skip

    def _passes_right(self, block: int) -> bool:
        """Does some machine block pass the arguments that the reference passed to ``block``?"""
        blocks, visits = self.places.blocks, self.history.visits
        into = {number for number, placed in enumerate(blocks) if placed.clif == block}
        came = visits[self.next - 2] if self.next > 1 else None
        if came is None or came.edge is None or came.edge.block != block:
            return True
        wanted = came.edge.args
        return any(
            all(have in (-1, want) for have, want in zip(placed.args, wanted, strict=True))
            for placed in blocks if len(placed.succs) == 1 and into & {*placed.succs}
        )  # fmt: skip

    def _read_of_code(self) -> int:
        """Where in the code the last step read a constant, or -1."""
        steps, done = self.machine.trace.steps, self.machine.done
        reads = steps[done - 1].reads if self.words and done else []
        at = reads[0].address - layout.CODE if reads else -1
        return at if 0 <= at < layout.CODE_SIZE else -1

    def _definition(self, value: Value) -> int:
        """Position of the instruction that defines ``value``, or -1 for a parameter."""
        for position, inst in enumerate(self.history.insts):
            if value in inst.results:
                return position
        return -1

    def _block_of_param(self, value: Value) -> int:
        return next((b.id for b in self.history.function.blocks if value in b.params), -1)

    def _operands_seen(self, position: int) -> bool:
        """Was every operand of the instruction seen right, or part of the instruction?"""
        if position < 0:
            return False
        constants = {
            v for inst in self.history.insts if inst.op.name in _CONSTANTS for v in inst.results
        }
        return all(
            arg in constants
            or all((arg, part) in self.right for part in range(2 if self.types[arg] is I128 else 1))
            for arg in self.history.insts[position].args
        )

    def _trap(self, span: Span, offset: int) -> None:
        """A branch goes to a word that traps."""
        visit, origin = self.visit, self.places.insts[span.inst].origin
        if visit is None or origin < 0:
            return
        inst = self.history.insts[origin]
        last = visit is self.history.visits[-1]
        if not (last and visit.trapped and self._trap_position(visit) == origin):
            self._part("trap", f"{inst.op.name} does not trap in the reference, but after {self._previous()} "
                       f"the code goes to {self.machine.asm(offset)}", expected="no trap", got="trap",
                       position=origin)  # fmt: skip

    def _check_stores(self, number: int) -> None:
        """The bytes that a store wrote against those it had to write."""
        origin = self.places.insts[number].origin
        steps = self._steps_of_current()
        visit = self.visit
        if origin < 0 or visit is None or not any(step.writes for step in steps):
            return
        inst = self.history.insts[origin]
        wanted = self._store(inst, visit)
        if wanted is None or (visit.trapped and self._trap_position(visit) == origin):
            return
        wrote = {access.address + i: access.value >> 8 * i & 0xFF
                 for step in steps for access in step.writes for i in range(access.size)}  # fmt: skip
        # Each half of an i128 is stored by an instruction of its own.
        at = list(wanted)
        places = (at[:8], at[8:]) if inst.type is I128 else (at,)
        if any(wrote.keys() == {*place} for place in places) and all(
            _accepts(wanted[address], byte) for address, byte in wrote.items()
        ):
            return
        had = _shown({at: byte for at, (byte, _) in wanted.items()})
        self._part("store", f"{inst.op.name} had to write {had}, {self._previous()} wrote {_shown(wrote)}",
                   expected=had, got=_shown(wrote), where="memory", position=origin, inst=number)  # fmt: skip

    def _steps_of_current(self) -> list[TraceStep]:
        steps = self.machine.trace.steps
        found = []
        at = self.machine.done - 1
        while at >= 0 and steps[at].offset in self.words:
            found.append(steps[at])
            at -= 1
        return found

    def _store(self, inst: Inst, visit: Visit) -> dict[int, Byte] | None:
        """The bytes that a store has to write, by the machine's addresses; None if it can't be said."""
        size = STORES.get(inst.op.name)
        value = inst.args[0] if inst.args else -1
        if size is None or value not in visit.values or value in self.unstable or inst.type is None:
            return None
        size = size or inst.type.bytes
        if "addr" in inst.op.operands:
            base = inst.args[inst.op.operands.index("addr")]
            if base not in visit.values:
                return None
            start = self._translated(base, visit.values[base])
        else:
            start = self.sp + self.places.slots[inst.ref]
        if start is None:
            return None
        order: Literal["big", "little"] = "big" if inst.flags.endian == "big" else "little"
        mask = (1 << 8 * size) - 1
        data, open_ = ((each & mask).to_bytes(size, order) for each in parts(visit.values[value]))
        return {
            (start + inst.imm + i) & ADDRESS_MASK: byte
            for i, byte in enumerate(zip(data, open_, strict=True))
        }

    def _finish(self) -> None:
        """All recorded steps are done."""
        if self.machine.trace.run.stop == RETURN and self.machine.trace.executed <= MAX_STEPS:
            self._complete()


def _accepts(wanted: Byte, byte: int) -> bool:
    """Is this the byte, but for bits that are open?"""
    return not (wanted[0] ^ byte) & ~wanted[1]


def _shown(wrote: dict[int, int]) -> str:
    """``34 12 at 0x20000000``: bytes in the order of their addresses."""
    first = min(wrote)
    return f"{' '.join(f'{wrote[at]:02x}' for at in sorted(wrote))} at {first:#x}"
