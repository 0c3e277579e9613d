"""From CLIF to VCode: which instruction is lowered when, and what is shared by all ISAs.

Blocks are lowered from the last to the first (postorder), instructions from the last to the first, so that
every use of a value is seen before its definition. A value nobody asked for by then, because all its users
took its computation into their own instructions or because there are none, is not lowered at all.

Invariants: what is moved to its user has that one user, and is pure or a load of the same block with nothing in
between that could tell (:meth:`Lowering.sinks`); constants are made anew for each use;
unreachable blocks vanish; blocks come out in reverse postorder, an edge block right behind the block it leaves;
an i128 is two integer registers with consecutive numbers, the lower half first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from backend.errors import Unsupported
from backend.ir.entities import Block, BlockCall, Function, Inst
from backend.ir.opcodes import opcode_named
from backend.ir.types import I128, Type
from backend.lower.calls import interface_of, lower_arguments
from backend.lower.rules import Dispatch, by_second
from backend.machine.registers import FIRST_VREG, FLOAT, INT
from backend.machine.vcode import MInst, VBlock, VCode

if TYPE_CHECKING:
    from backend.isa.isa import Isa

_ICONST: Final = opcode_named("iconst")
_BRANCHES: Final = frozenset(map(opcode_named, ("jump", "brif", "br_table")))
_ICMP: Final = opcode_named("icmp")
_FCMP: Final = opcode_named("fcmp")

# How an opcode's T and S are found.
_NO_TYPE: Final = 0
_BY_T: Final = 1
_BY_T_AND_S: Final = 2
_BY_OPERAND: Final = 3
_TYPED: Final[dict[int, int]] = {}


def _typed_by(inst: Inst) -> int:
    op = inst.op
    if op.over:
        return _BY_T_AND_S if by_second(op) else _BY_T
    return _BY_OPERAND if op.operands[:1] == ("S",) else _NO_TYPE


class Lowering:
    """The state of lowering one function; what rules may ask and do.

    ``consts``: value -> unsigned bits, of every iconst. ``defs``: value -> the instruction that defines it.
    ``counts``: value -> number of uses in the CLIF. ``out``: machine instructions of the current CLIF instruction.
    ``hits``: numbers of the rules that fired. ``origin``: position of the current CLIF instruction, or -1.
    ``sunk``: value of a load that was moved to its user -> the position that it was moved to.
    ``own``: how the function is called; ``area``: the register with the pointer to where results go that don't fit in
    registers, or -1.
    """

    __slots__ = ("_edge_numbers", "_first", "_insts", "_vregs", "area", "classes", "consts", "counts", "defs",
                 "dispatch", "function", "has_pairs", "hits", "isa", "origin", "out", "own", "sunk", "types",
                 "vcode")  # fmt: skip

    def __init__(self, function: Function, isa: Isa, dispatch: Dispatch) -> None:
        self.function = function
        self.isa = isa
        self.dispatch = dispatch
        self.vcode = VCode(function.name)
        self.classes = self.vcode.classes
        self.types = function.value_types
        self.consts: dict[int, int] = {}
        self.defs: dict[int, Inst] = {}
        self.counts: dict[int, int] = {}
        self.out: list[MInst] = []
        self.hits: set[int] = set()
        self.sunk: dict[int, int] = {}
        #: instructions of the current block, and the position of the first
        self._insts: list[Inst] = []
        self._first = 0
        self.origin = -1
        self.own = interface_of(function.signature, isa.calls.conventions)
        self.area = -1
        self.has_pairs = I128 in self.types.values()
        self._vregs: dict[int, int] = {}
        #: block number of each edge that leaves the current block, by (block, args)
        self._edge_numbers: dict[BlockCall, int] = {}

    # ---- what rules use

    def use(self, value: int) -> int:
        """A register that holds ``value``; its bits above its type's are undefined.

        Of an i128 the lower half; the upper one is in the register of the next number.
        """
        constant = self.consts.get(value)
        if constant is not None:
            return self.constant(constant, 64 if self.types[value].bits == 64 else 32)
        vreg = self._vregs.get(value)
        if vreg is None:
            type_ = self.types[value]
            vreg = self._vregs[value] = self.temp(FLOAT if type_.is_float else INT)
            if type_ is I128:
                self.temp(INT)
        return vreg

    result = use
    """The register that an instruction's result goes to. (A constant has no instruction of its own.)"""

    def found(self, value: int) -> int:
        """The register of ``value`` if a lowered instruction asked for it, else -1."""
        return self._vregs.get(value, -1)

    def temp(self, cls: int) -> int:
        """A new virtual register."""
        classes = self.classes
        classes.append(cls)
        return FIRST_VREG + len(classes) - 1

    def constant(self, value: int, bits: int) -> int:
        """A new register of ``bits`` (32 or 64) that holds ``value``."""
        vreg = self.temp(INT)
        if self.dispatch.constants[bits](self, value, vreg):
            return vreg
        raise Unsupported(f"constant {value:#x} of {bits} bits")

    def extended(self, value: int, bits: int, signed: bool) -> int:
        """A register that holds ``value``, an i8 or i16, extended to 32 bits."""
        constant = self.consts.get(value)
        if constant is not None:
            if signed and constant >> (bits - 1):
                constant |= (1 << 32) - (1 << bits)
            return self.constant(constant, 32)
        source = self.use(value)
        vreg = self.temp(INT)
        self.out.append(MInst(self.isa.extends[bits, signed], [vreg, source], None, 0, self.origin))
        return vreg

    def condition(self, value: int) -> int:
        """Emits a test of ``value``; the machine condition under which it is not 0."""
        if self.fuses(value):
            return self.compare(self.defs[value])
        condition: int = self.dispatch.nonzero[self.types[value].index](self, value)
        if condition >= 0:
            return condition
        raise Unsupported(f"a condition of type {self.types[value]}")

    def fuses(self, value: int) -> bool:
        """Is ``value`` an icmp or fcmp that can be made where it is used?"""
        inst = self.defs.get(value)
        return (inst is not None and (inst.op is _ICMP or inst.op is _FCMP)
                and self.counts[value] == 1 and self.dispatch.fusion)  # fmt: skip

    def sinks(self, load: Inst) -> bool:
        """May ``load`` be made where the current instruction is, instead of where it stands?

        It has to be in the same block, with nothing in between that writes memory or has another effect, nor, unless
        it can't trap, anything that can: which trap comes first, and what was stored by then, is to be seen.
        """
        calm = load.flags.trap is None
        for at in range(self.origin - self._first - 1, -1, -1):
            inst = self._insts[at]
            if inst is load:
                return True
            if inst.op.side_effects and not (calm and inst.op.shape == "load"):
                return False
        return False

    def compare(self, inst: Inst) -> int:
        """Emits the comparison of an icmp or fcmp; the machine condition under which it holds."""
        type_ = self.types[inst.args[0]]
        condition: int = self.dispatch.compares[type_.index](self, inst)
        if condition >= 0:
            return condition
        raise Unsupported(f"{inst.op.name}.{type_}")

    def edge(self, call: BlockCall) -> int:
        """The number of the block that an edge of the current terminator leads to."""
        return self._edge_numbers[call]

    # ---- the walk

    def run(self) -> VCode:
        """Lower the whole function. Unsupported if something has no rule."""
        order, preds = _reverse_postorder(self.function)
        origins = self._scan(order)
        numbers, total = self._number(order, preds)
        blocks = self.vcode.blocks
        blocks.extend(VBlock() for _ in range(total))
        for block in reversed(order):
            self._lower_block(block, numbers, preds, origins[block.id])
        self._enter_arguments(blocks[0])
        for number, vblock in enumerate(blocks):
            for succ in vblock.succs:
                blocks[succ].preds.append(number)
        return self.vcode

    def _scan(self, order: list[Block]) -> dict[int, int]:
        """Collect constants, definitions and use counts; the origin of each block's first
        instruction, by block."""
        consts, defs = self.consts, self.defs
        used: list[int] = []
        for block in order:
            for inst in block.insts:
                used += inst.args
                for call in inst.targets:
                    used += call.args
                results = inst.results
                if results:
                    if inst.op is _ICONST:
                        consts[results[0]] = inst.imm & self.types[results[0]].mask
                    for value in results:
                        defs[value] = inst
        self.counts = Counter(used)
        origins: dict[int, int] = {}
        position = 0
        for block in self.function.blocks:
            origins[block.id] = position
            position += len(block.insts)
        return origins

    def _number(self, order: list[Block], preds: dict[int, int]) -> tuple[dict[int, int], int]:
        """A number for each block, with room behind it for its edge blocks; and how many in all."""
        numbers: dict[int, int] = {}
        total = 0
        for block in order:
            numbers[block.id] = total
            total += 1
            targets = _distinct(block.terminator)
            if targets and block.terminator.op not in _BRANCHES:
                raise Unsupported(f"no rule for {block.terminator.op.name}")
            if len(targets) > 1:
                total += sum(1 for call in targets if call.args or preds[call.block] > 1)
        return numbers, total

    def _lower_block(
        self, block: Block, numbers: dict[int, int], preds: dict[int, int], origin: int
    ) -> None:
        number = numbers[block.id]
        vblocks = self.vcode.blocks
        vblock = vblocks[number]
        vblock.cold = block.cold
        terminator = block.insts[-1]
        reverse: list[MInst] = []
        targets = _distinct(terminator)
        self._edge_numbers = {}
        self.origin = origin + len(block.insts) - 1
        self._insts, self._first = block.insts, origin
        if len(targets) > 1:
            extra = number
            for call in targets:
                if not call.args and preds[call.block] == 1:
                    to = numbers[call.block]
                else:
                    extra += 1
                    to = extra
                    self._fill_edge(vblocks[extra], call, numbers[call.block], block.cold)
                vblock.succs.append(to)
                self._edge_numbers[call] = to
            self._lower_inst(terminator)
        elif targets:
            self._fill_edge(vblock, targets[0], numbers[targets[0].block], block.cold)
            reverse = vblock.insts[::-1]
        else:
            self._lower_inst(terminator)
        reverse += self.out[::-1]
        self.out.clear()
        vregs, sunk = self._vregs, self.sunk
        for inst in reversed(block.insts[:-1]):
            self.origin -= 1
            op = inst.op
            results = inst.results
            if results:
                if not op.side_effects:
                    for value in results:
                        if value in vregs:
                            break
                    else:
                        continue
                elif results[0] in sunk:
                    continue
            self._lower_inst(inst)
            reverse += self.out[::-1]
            self.out.clear()
        reverse.reverse()
        vblock.insts = reverse
        if number:
            vblock.params = [self.use(param) for param in block.params]
            if self.has_pairs:
                vblock.params = self._with_halves(vblock.params, block.params)

    def _fill_edge(self, vblock: VBlock, call: BlockCall, to: int, cold: bool) -> None:
        """Give ``vblock`` a jump to block ``to`` with the arguments of ``call``."""
        vblock.cold = cold
        vblock.args = [self.use(arg) for arg in call.args]
        if self.has_pairs:
            vblock.args = self._with_halves(vblock.args, call.args)
        vblock.insts = [*self.out, MInst(self.isa.jump, [to], None, 0, self.origin)]
        vblock.succs = [to]
        self.out.clear()

    def _with_halves(self, vregs: Sequence[int], values: Sequence[int]) -> list[int]:
        """The registers of ``values``, which begin at ``vregs``."""
        types = self.types
        return [
            register
            for vreg, value in zip(vregs, values, strict=True)
            for register in ((vreg, vreg + 1) if types[value] is I128 else (vreg,))
        ]

    def _lower_inst(self, inst: Inst) -> None:
        op = inst.op
        how = _TYPED.get(op.index)
        if how is None:
            how = _TYPED[op.index] = _typed_by(inst)
        key = op.index << 16
        type_: Type | None = inst.type
        if how == _BY_T:
            key |= (type_.index + 1) << 8 if type_ is not None else 0
        elif how == _BY_OPERAND:
            type_ = self.types[inst.args[0]]
            key |= (type_.index + 1) << 8
        elif how == _BY_T_AND_S and type_ is not None:
            key |= (type_.index + 1) << 8 | (self.types[inst.args[0]].index + 1)
        if not self.dispatch.insts[key](self, inst):
            raise Unsupported(f"no rule for {op.name}" + (f".{type_}" if type_ is not None else ""))

    def _enter_arguments(self, entry: VBlock) -> None:
        self.origin = -1
        lower_arguments(self)
        entry.insts[:0] = self.out
        self.out.clear()


def _distinct(terminator: Inst) -> list[BlockCall]:
    """The different edges of a terminator. Both edges of a brif count, even if they are the same."""
    targets = terminator.successors()
    if len(targets) < 2:
        return list(targets)
    return list(dict.fromkeys(targets))


def _reverse_postorder(function: Function) -> tuple[list[Block], dict[int, int]]:
    """The reachable blocks, and how many different edges enter each (by block id)."""
    by_id = {block.id: block for block in function.blocks}
    preds = {block.id: 0 for block in function.blocks}
    entry = function.blocks[0]
    seen = {entry.id}
    order: list[Block] = []
    stack = [(entry, _distinct(entry.terminator))]
    for call in stack[0][1]:
        preds[call.block] += 1
    while stack:
        block, pending = stack[-1]
        if not pending:
            order.append(block)
            stack.pop()
            continue
        # The last successor is visited first, so that the first one comes right behind the block.
        target = by_id[pending.pop().block]
        if target.id not in seen:
            seen.add(target.id)
            edges = _distinct(target.terminator)
            for call in edges:
                preds[call.block] += 1
            stack.append((target, edges))
    order.reverse()
    return order, preds
