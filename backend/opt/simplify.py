"""Constant folding, algebra and value numbering in one walk over the dominator tree.

Every definition is seen before its uses, so each instruction is looked at once, with operands that are as simple as
they get: if all are constants it becomes one, else the first rule that fits rewrites it, until none does; then an equal
instruction that dominates it takes its place. So a sum of two things that turn out to be the same is one
thing, too. (Click, "Global Code Motion/Global Value Numbering", 1995, without the code motion.)

Invariants: what may trap is replaced only by a constant that shows that it does not, or by an equal instruction
before it, which would have trapped; what reads or writes memory stays where it is; types over 64 bits and floats are
numbered, not folded.
"""

from __future__ import annotations

from typing import Final

from backend.ir.cfg import ControlFlow
from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from backend.ir.opcodes import Opcode, opcode_named
from backend.ir.types import Type
from backend.opt.fold import CONDITIONS, FOLDS, WIDTHS
from backend.opt.matching import ALGEBRA, TRUTH, compile_rewrites, compile_truths, opcodes

_ICONST: Final = opcode_named("iconst")
_JUMP: Final = opcode_named("jump")
_TRAP: Final = opcode_named("trap")
_BRIF: Final = opcode_named("brif")
_BR_TABLE: Final = opcode_named("br_table")
_TRAP_IF: Final = {opcode_named("trapz"): False, opcode_named("trapnz"): True}
_CONDITIONAL: Final = frozenset(
    opcode_named(name) for name in ("select", "select_spectre_guard", "brif", "trapz", "trapnz")
)
_STEPS: Final = 32
"""Rewrites of one instruction, at most: far more than a chain of rules has."""

_FOLDED: Final = {
    name: len(ALGEBRA) + len(TRUTH) + i for i, name in enumerate((*FOLDS, "icmp", *WIDTHS))
}
_OTHER: Final = len(ALGEBRA) + len(TRUTH) + len(_FOLDED)
SAME, BRANCH, SWITCH, NO_TRAP, TRAP, PARAMETER = range(_OTHER, _OTHER + 6)
NAMES: Final = (
    *(rule.name for rule in (*ALGEBRA, *TRUTH)),
    *(f"fold_{name}" for name in _FOLDED),
    "same_value", "branch_decided", "switch_decided", "trap_impossible", "trap_certain", "parameter_forwarded",
)  # fmt: skip
"""Everything this walk does, by number."""

LOOKED_FOR: Final = (
    *(opcodes(rule) for rule in (*ALGEBRA, *TRUTH)),
    *((name,) for name in _FOLDED),
    (), ("brif",), ("br_table",), ("trapz", "trapnz"), ("trapz", "trapnz"), (),
)  # fmt: skip
"""Opcodes without which it can't happen, by number."""

REWRITES: Final = compile_rewrites()
TRUTHS: Final = compile_truths()
"""By opcode, as they were compiled when this was imported."""

Key = tuple[object, ...]


class Simplifier:
    """The walk over one function, which it changes. What the rules use:

    ``consts``: unsigned bits of each value that is a constant; ``defs``: what defines a value; ``types``; ``hits``:
    numbers in :data:`NAMES`.
    """

    __slots__ = (
        "_aliases",
        "_known",
        "_learnt",
        "_out",
        "consts",
        "defs",
        "function",
        "hits",
        "types",
    )

    def __init__(self, function: Function, hits: set[int]) -> None:
        self.function = function
        self.types = function.value_types
        self.hits = hits
        self.consts: dict[Value, int] = {}
        self.defs: dict[Value, Inst] = {}
        self._aliases: dict[Value, Value] = {}
        #: results of instructions that dominate this place, by what they compute
        self._known: dict[Key, tuple[Value, ...]] = {}
        #: those of them that are no longer known when the current block's dominator subtree is left
        self._learnt: list[Key] = []
        self._out: list[Inst] = []

    # ---- what rules do

    def same(self, inst: Inst, value: Value) -> None:
        """The result of ``inst`` is ``value``."""
        self._aliases[inst.results[0]] = value

    def constant(self, inst: Inst, bits: int) -> None:
        """The result of ``inst`` is a constant."""
        type_ = self.types[inst.results[0]]
        inst.op, inst.type, inst.args, inst.keyword = _ICONST, type_, (), ""
        inst.imm = bits & type_.mask

    def become(
        self, inst: Inst, op: Opcode, type_: Type, args: tuple[Value, ...], keyword: str
    ) -> None:
        """``inst`` computes its result in another way."""
        inst.op, inst.type, inst.args, inst.keyword = op, type_, args, keyword

    def made(self, op: Opcode, type_: Type, args: tuple[Value, ...], keyword: str) -> Value:
        """The result of a new instruction before the one that is looked at."""
        result = self.function.new_value(type_)
        self._inst(Inst(op, type_, args, (result,), keyword=keyword))
        return self._aliases.get(result, result)

    def constant_of(self, type_: Type, bits: int) -> Value:
        """A value that is a constant."""
        result = self.function.new_value(type_)
        self._inst(Inst(_ICONST, type_, (), (result,), imm=bits & type_.mask))
        return self._aliases.get(result, result)

    # ---- the walk

    def run(self) -> None:
        """Simplify the whole function. Blocks that nothing reaches afterwards are still there."""
        blocks = self.function.blocks
        flow = ControlFlow(self.function)
        entering = _edges(self.function)
        children: list[list[int]] = [[] for _ in blocks]
        for number in flow.order[1:]:
            children[flow.idom[number]].append(number)
        stack: list[tuple[int, list[Key]]] = [(0, [])]
        while stack:
            number, learnt = stack.pop()
            if number < 0:
                for key in learnt:
                    del self._known[key]
                continue
            self._learnt = learnt
            self._block(blocks[number], entering[blocks[number].id] if number else [])
            stack.append((-1, learnt))
            stack += [(child, []) for child in children[number]]

    def _block(self, block: Block, entering: list[BlockCall]) -> None:
        if len(entering) == 1 and block.params and min(entering[0].args) >= 0:
            self.hits.add(PARAMETER)
            self._aliases.update(zip(block.params, entering[0].args, strict=True))
            block.params, entering[0].args = [], ()
        self._out = []
        aliases = self._aliases
        for inst in block.insts:
            if aliases:
                inst.args = tuple([aliases.get(arg, arg) for arg in inst.args])
                for call in inst.successors():
                    if call.args:
                        call.args = tuple([aliases.get(arg, arg) for arg in call.args])
            if self._decided(inst):
                break
        block.insts = self._out

    def _decided(self, inst: Inst) -> bool:
        """Look at an instruction of the block; does the block end here?"""
        op = inst.op
        if op in _CONDITIONAL:
            inst.args = (self._truth(inst.args[0]), *inst.args[1:])
        if op in _TRAP_IF:
            known = self.consts.get(inst.args[0])
            if known is not None:
                certain = bool(known) == _TRAP_IF[op]
                self.hits.add(TRAP if certain else NO_TRAP)
                if certain:
                    self._out.append(Inst(_TRAP, keyword=inst.keyword))
                return certain
        if op.terminator:
            self._decide(inst)
            self._out.append(inst)
            return True
        self._inst(inst)
        return False

    def _truth(self, value: Value) -> Value:
        """What is 0 just when ``value`` is, and simpler."""
        for _ in range(_STEPS):
            inst = self.defs.get(value)
            if inst is None or inst.op not in TRUTHS:
                break
            simpler = TRUTHS[inst.op](self, inst)
            if simpler < 0:
                break
            value = simpler
        return value

    def _decide(self, inst: Inst) -> None:
        """A branch that always goes one way jumps there."""
        op = inst.op
        if op is not _BRIF and op is not _BR_TABLE:
            return
        known = self.consts.get(inst.args[0])
        targets = inst.targets
        if known is None:
            if any(call != targets[0] for call in targets[1:]):
                return
            target = targets[0]
        elif op is _BRIF:
            target = targets[0 if known else 1]
        else:
            target = targets[known + 1 if known + 1 < len(targets) else 0]
        self.hits.add(BRANCH if op is _BRIF else SWITCH)
        inst.op, inst.type, inst.args, inst.targets = _JUMP, None, (), (target,)

    def _inst(self, inst: Inst) -> None:
        """Fold, rewrite, number: afterwards ``inst`` is put, or its results are others'."""
        for _ in range(_STEPS):
            op = inst.op
            if op is _ICONST or inst.type is None or not inst.type.is_int or inst.type.bits > 64:
                break
            if self._fold(inst):
                break
            rewrite = REWRITES.get(op)
            if rewrite is None or not rewrite(self, inst):
                break
            if inst.results[0] in self._aliases:
                return
        if inst.args or inst.op is _ICONST or inst.op.results:
            self._number(inst)
        else:
            self._out.append(inst)

    def _fold(self, inst: Inst) -> bool:
        """Make ``inst`` a constant, or several, if its operands are; False if they are not or it may trap."""
        name = inst.op.name
        if name not in _FOLDED:
            return False
        consts = self.consts
        operands = []
        for arg in inst.args:
            bits = consts.get(arg)
            if bits is None:
                return False
            operands.append(bits)
        assert inst.type is not None
        width = inst.type.bits
        if name == "icmp":
            found: tuple[int, ...] | None = (CONDITIONS[inst.keyword](width, *operands),)
        elif name in WIDTHS:
            found = (WIDTHS[name](self.types[inst.args[0]].bits, operands[0]),)
        else:
            found = FOLDS[name](width, *operands)
        if found is None:
            return False
        self.hits.add(_FOLDED[name])
        for result, bits in zip(inst.results[1:], found[1:], strict=True):
            self._inst(Inst(_ICONST, self.types[result], (), (result,), imm=int(bits)))
        inst.results = inst.results[:1]
        self.constant(inst, found[0])
        return True

    def _number(self, inst: Inst) -> None:
        """Put ``inst``, unless what dominates this place computes the same."""
        op = inst.op
        results = inst.results
        if results and not op.reads and not op.writes and (op.traps or not op.side_effects):
            args = tuple(sorted(inst.args)) if op.commutes else inst.args
            key = (op.index, inst.type, args, inst.imm, inst.keyword, inst.ref, inst.flags)
            known = self._known.get(key)
            if known is not None:
                self._aliases.update(zip(results, known, strict=True))
                if op is not _ICONST:
                    self.hits.add(SAME)
                return
            self._known[key] = results
            self._learnt.append(key)
        for result in results:
            self.defs[result] = inst
        if op is _ICONST:
            self.consts[results[0]] = inst.imm & self.types[results[0]].mask
        self._out.append(inst)


def _edges(function: Function) -> dict[int, list[BlockCall]]:
    """The edges that enter each block, by its number."""
    entering: dict[int, list[BlockCall]] = {block.id: [] for block in function.blocks}
    for block in function.blocks:
        for call in block.insts[-1].successors():
            entering[call.block].append(call)
    return entering
