"""From allocated VCode to bytes.

Block by block: the allocator's edits become moves, operands become registers, words go to the MachBuffer. A
block that only jumps is not emitted but skipped over by those who go there; a jump to the next block is
dropped; a two-way branch falls through to whichever side comes next. What may trap is announced to the
buffer right before its word, so the trap record is exact. A trap taken by a branch is a word of its own behind all
blocks, one a place, so that its offset tells which one it was.

Invariant: before each instruction the buffer is asked whether an island has to come first, with the bytes the
instruction can take at most.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from backend.errors import InternalError
from backend.ir.opcodes import TRAP_CODES
from backend.machine.buffer import Finished, MachBuffer, word_at
from backend.machine.frame import Frame
from backend.machine.relaxation import Moved
from backend.machine.rows import BRANCH, JUMP, NEXT, Row
from backend.machine.vcode import Allocation, MInst, VCode

if TYPE_CHECKING:
    from backend.isa.isa import Isa
    from backend.options import Options

GROWTH: Final = 16
"""Bytes a word can add to the next island: a 64-bit constant with its padding."""
_WORST: Final = 1 + GROWTH // 4
"""Bytes that a byte of whole words can come to."""
_LEAVE_BYTES: Final = 160
"""Longest epilogue with its return: on AArch64 18 saved registers, a word each; of windows_fastcall 90 bytes."""

Item = tuple[int, Row, list[int]]
"""What was put where: offset, row, values of its fields."""


class Emitter:
    """The state of emitting one function.

    ``buffer``; ``frame``; ``uses``: label uses by name; ``items``: every instruction put, by offset; ``hits``:
    indices of rows, pseudo ones included; ``symbols``: of the VCode.
    """

    __slots__ = ("_labels", "_next", "_put", "_targets", "_traps", "buffer", "frame", "hits", "isa",
                 "items", "symbols", "uses")  # fmt: skip

    def __init__(self, isa: Isa, frame: Frame, reach: int) -> None:
        self.isa = isa
        self.frame = frame
        self.uses = isa.label_uses(reach)
        self.buffer = MachBuffer(isa.nop, growth=GROWTH, around=isa.jump_bytes)
        self._put: Callable[[Any, str], None] = (
            self.buffer.put4 if isa.fixed_width else self.buffer.put
        )
        self.items: list[Item] = []
        self.hits: set[int] = set()
        self.symbols: dict[int, str] = {}
        self._labels: list[int] = []
        self._targets: list[int] = []
        self._traps: list[tuple[int, int]] = []
        self._next = -1

    # ---- what pseudo instructions use

    def put(self, row: Row, ops: list[int]) -> None:
        """Append an instruction."""
        word = row.encode(ops)
        self.items.append((self.buffer.code.length, row, ops))
        self._put(word, row.name)

    def put_at(self, row: Row, ops: list[int], label: int, use: str = "") -> None:
        """Append an instruction that refers to ``label``."""
        word = row.encode(ops)
        self.buffer.use_label(label, self.uses[use or row.use], word_at(word))
        self.items.append((self.buffer.code.length, row, ops))
        self._put(word, row.name)

    def put_reloc(self, row: Row, ops: list[int], symbol: str, use_name: str = "") -> None:
        """Append an instruction that holds the distance to ``symbol``."""
        word = row.encode(ops)
        use = self.uses[use_name or row.use]
        self.buffer.reloc(use.name, symbol, -use.origin, word_at(word))
        self.items.append((self.buffer.code.length, row, ops))
        self._put(word, row.name)

    def target(self, block: int) -> int:
        """The label of the block that a jump to ``block`` ends up at."""
        return self._labels[self._targets[block]]

    def trap_label(self, code: int) -> int:
        """A label of a place that traps with the code of that number."""
        label = self.buffer.new_label()
        self._traps.append((label, code))
        return label

    def reserve(self, size: int, falls: bool = True) -> None:
        """An island, if one must come before the next ``size`` bytes; ``falls``: is this place reached from
        the instruction before?"""
        if self.buffer.island_needed(size):
            self._island(size, falls)

    def _island(self, size: int, falls: bool) -> None:
        jump = self.isa.jump
        around = (jump.encode([0]), self.uses[jump.use]) if falls else None
        self.buffer.emit_island(size, around)

    # ---- the function

    def run(self, vcode: VCode, allocation: Allocation, options: Options) -> Finished:
        """Emit everything. BufferError or InternalError if something is wrong."""
        blocks = vcode.blocks
        self.symbols = vcode.symbols
        starts = []
        total = 0
        for block in blocks:
            starts.append(total)
            total += len(block.insts)
        edits = allocation.edits
        self._targets = _thread(vcode, starts, edits)
        buffer = self.buffer
        self._labels = [buffer.new_label() for _ in blocks]
        targets = self._targets
        order = [n for n, block in enumerate(blocks) if not block.cold or not n]
        order += [n for n, block in enumerate(blocks) if block.cold and n]
        order = [n for n in order if targets[n] == n or not n]
        for row, ops in self.isa.prologue(self.frame):
            self.put(row, ops)
        falls = True
        for place, number in enumerate(order):
            if place == 1 and options.pad:
                self._pad(options.pad)
            self._next = order[place + 1] if place + 1 < len(order) else -1
            if place == 0 and options.pad:
                self._next = -1
            if buffer.island_needed(self.isa.step_bytes):
                self._island(self.isa.step_bytes, falls)
            buffer.bind(self._labels[number])
            falls = self._emit_block(
                blocks[number].insts, starts[number], allocation, bool(options.branch_reach)
            )
        self._emit_traps()
        finished = buffer.finish(shorten=not options.long_branches)
        if finished.moved is not None:
            self._settle(finished.moved)
        return finished

    def _settle(self, moved: Moved) -> None:
        """Say of each instruction where it lies now, and of a branch that became short that it is."""
        starts = moved.starts
        settled: list[Item] = []
        for at, row, ops in self.items:
            now = moved(at)
            if now in starts:
                if row.short is None:
                    raise InternalError(f"{row.name} has no short form")
                row = row.short
            settled.append((now, row, ops))
        self.items = settled

    def _emit_block(
        self, insts: list[MInst], index: int, allocation: Allocation, short: bool
    ) -> bool:
        """The instructions of a block, the first of which has number ``index``; does it fall
        through?"""
        edits, locations = allocation.edits, allocation.locations
        buffer, hits, items = self.buffer, self.hits, self.items
        code, put, step_bytes = buffer.code, self._put, self.isa.step_bytes
        flow = NEXT
        for inst in insts:
            row: Row = inst.row  # type: ignore[assignment]  # the protocol's only implementation
            flow = row.flow
            if index in edits:
                self._emit_moves(edits[index])
            ops = inst.ops.copy()
            size = (step_bytes if flow <= BRANCH else _LEAVE_BYTES) + 4 * len(ops)
            if (code.length + _WORST * size > buffer.calm and buffer.island_needed(size)) or (
                short and flow == BRANCH
            ):
                self._island(size, True)
            for operand, register in zip(inst.operands, locations[index], strict=True):
                ops[operand.index] = register
            index += 1
            hits.add(row.index)
            if flow == NEXT:
                if row.pseudo:
                    self.isa.pseudos[row.index](self, inst, ops)
                    continue
                if row.is_move and ops[0] == ops[1]:
                    continue
                if row.tie:
                    _check_tie(row, ops)
                if row.label >= 0:
                    data = ops[row.label].to_bytes(8, "little")
                    self.put_at(row, ops, buffer.constant(data, 8))
                    continue
                if row.traps and ops[-1] >= 0:
                    buffer.trap(TRAP_CODES[ops[-1]])
                word = row.encode(ops)
                items.append((code.length, row, ops))
                put(word, row.name)
            elif flow == BRANCH:
                self._emit_branch(row, ops)
            elif flow == JUMP:
                self._jump(self._targets[ops[0]])
            elif row.index in self.isa.pseudos:
                self.isa.pseudos[row.index](self, inst, ops)
            else:
                if row.traps:
                    buffer.trap(TRAP_CODES[ops[-1]])
                self.put(row, ops)
        return flow in (BRANCH, JUMP)

    def _emit_moves(self, moves: list[tuple[int, int]]) -> None:
        move, frame = self.isa.move, self.frame
        for to, source in moves:
            self.reserve(self.isa.step_bytes)
            for row, ops in move(to, source, frame):
                self.put(row, ops)

    def _jump(self, target: int) -> None:
        if target != self._next:
            jump = self.isa.jump
            self.put_at(jump, [0], self._labels[target])

    def _emit_branch(self, row: Row, ops: list[int]) -> None:
        place = row.label
        at = ops[place]
        if at < 0:
            self.put_at(row, ops, self.trap_label(-1 - at))
            return
        then, other = self._targets[at], self._targets[ops[-1]]
        if then == other:
            self._jump(then)
            return
        if then == self._next:
            row, ops = self.isa.invert(row, ops)
            then, other = other, then
        self.put_at(row, ops, self._labels[then])
        self._jump(other)

    def _pad(self, size: int) -> None:
        self.reserve(size, falls=False)
        self.buffer.put_data(self.isa.nop.to_bytes(4, "little") * (size // 4), "padding")

    def _emit_traps(self) -> None:
        row = self.isa.trap
        for label, code in self._traps:
            self.reserve(4, falls=False)
            self.buffer.bind(label)
            self.buffer.trap(TRAP_CODES[code])
            # As its rule gives it: with what tells it from another trap, if the instruction has room for that.
            self.put(row, [code + 1, code][-len(row.fields) :])
            self.hits.add(row.index)


def _check_tie(row: Row, ops: list[int]) -> None:
    one, other = row.tie
    if ops[one] != ops[other]:
        raise InternalError(
            f"{row.name}: its input is in register {ops[other]}, its result in {ops[one]}"
        )


def _thread(vcode: VCode, starts: list[int], edits: dict[int, list[tuple[int, int]]]) -> list[int]:
    """For each block the one that a jump to it ends up at, past blocks that only jump."""
    blocks = vcode.blocks
    targets = list(range(len(blocks)))
    for number, block in enumerate(blocks):
        inst = block.insts[0]
        if inst.row.flow == JUMP and starts[number] not in edits and inst.ops[0] != number:  # type: ignore[attr-defined]  # a Row
            targets[number] = inst.ops[0]
    done = [False] * len(blocks)
    for number in range(len(blocks)):
        path: list[int] = []
        at = number
        while not done[at] and targets[at] != at:
            done[at] = True
            path.append(at)
            at = targets[at]
        if at in path:
            # A ring of jumps: a loop without an end. It stays at one of its blocks.
            targets[at] = at
        for step in path:
            targets[step] = targets[at]
    return targets


def texts(
    items: list[Item], finished: Finished, isa: Isa, base: int | None = None
) -> list[tuple[int, str]]:
    """What each instruction was meant to be, by offset, veneers included: as it reads at address 0, or, if the function
    begins at address ``base``, by address as it reads there. What refers to a symbol from outside holds no distance.
    """
    goals = {owner: target for _, owner, target, _ in finished.audit.fixups}
    start = base or 0
    made = []
    for offset, row, ops in items:
        if row.label >= 0:
            ops = ops.copy()
            relative = base is None or row.fields[row.label].kind.relative
            goal = goals[offset] if offset in goals else offset + _nowhere(isa, row, ops)
            ops[row.label] = goal + (-offset if relative else start)
        made.append((start + offset, row.text(ops)))
    jump = isa.jump
    for offset, _, what in finished.audit.spans:
        if what == "island" and offset in goals:
            goal = goals[offset] + (-offset if base is None else start)
            made.append((start + offset, jump.text([goal])))
    made.sort()
    return made


def _nowhere(isa: Isa, row: Row, ops: list[int]) -> int:
    """Where an instruction of which no distance was patched goes, from its own first byte."""
    return word_at(row.encode(ops)) + isa.label_uses(0)[row.use].read(0)
