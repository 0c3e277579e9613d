"""What an ISA is to the passes that know none: tables and a few functions, in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

from backend.errors import Unsupported
from backend.ir.entities import Signature
from backend.ir.opcodes import Opcode, opcode_named
from backend.ir.types import Type
from backend.lower import expand
from backend.lower.calls import interface_of
from backend.lower.expand import Lacking
from backend.lower.rules import Rule, RuleSet
from backend.machine.labels import LabelUse
from backend.machine.registers import MachineEnv
from backend.machine.rows import Row, RowTable

if TYPE_CHECKING:
    from backend.lower.calls import Calls
    from backend.machine.emit import Emitter
    from backend.machine.frame import Frame
    from backend.machine.vcode import MInst

Step = tuple[Row, list[int]]
"""One instruction to emit: the row and the values of its fields."""

_JUMP: Final = opcode_named("jump")
_ICONST: Final = opcode_named("iconst")


class Isa:
    """One instruction set.

    ``table``: instruction rows; ``rule_set``: lowering rules; ``env(registers, callconv)``: registers for the
    allocator;
    ``extends``: (bits, signed) -> the row that extends an i8 or i16 to 32 bits; ``jump``, ``trap``: the rows of
    the unconditional branch and of the undefined instruction; ``label_uses(reach)``: by name;
    ``nop``: the word that pads. ``step_bytes``: the most that an instruction comes to, a move of the
    allocator's or a branch with the jump behind it. ``fixed_width``: is every instruction a word of 32 bits?

    ``move(to, from, frame)``: the instructions that move between two locations. ``prologue(frame)``,
    ``epilogue(frame)``: the instructions, without the return. ``stack_align``: of the stack pointer, bytes.
    ``crossings``: the rows that move 64 bits from an integer to a float register, and back. ``calls``: how functions
    are called.
    ``pseudos``: row index -> what emits it.
    ``invert(row, ops)``: the opposite branch.
    """

    max_results: ClassVar[int] = 16
    """How many results are generated; there is no limit to them."""

    def __init__(
        self,
        name: str,
        *,
        table: RowTable,
        rule_set: RuleSet,
        env: Callable[[int, str], MachineEnv],
        extends: Mapping[tuple[int, bool], Row],
        jump: Row,
        trap: Row,
        label_uses: Callable[[int], dict[str, LabelUse]],
        nop: int,
        move: Callable[[int, int, Frame], list[Step]],
        prologue: Callable[[Frame], list[Step]],
        epilogue: Callable[[Frame], list[Step]],
        pseudos: Mapping[int, Callable[[Emitter, MInst, list[int]], None]],
        invert: Callable[[Row, list[int]], Step],
        crossings: tuple[Row, Row],
        calls: Calls,
        step_bytes: int = 8,
        stack_align: int = 16,
    ) -> None:
        self.name = name
        self.table = table
        self.rule_set = rule_set
        self.env = env
        self.extends = extends
        self.jump = jump
        self.trap = trap
        self.label_uses = label_uses
        self.nop = nop
        self.move = move
        self.prologue = prologue
        self.epilogue = epilogue
        self.pseudos = pseudos
        self.invert = invert
        self.stack_align = stack_align
        self.crossings = crossings
        self.calls = calls
        self.step_bytes = step_bytes
        code = jump.encode([0])
        self.fixed_width = isinstance(code, int)
        self.jump_bytes = 4 if isinstance(code, int) else len(code)

    @property
    def rules(self) -> list[Rule]:
        """The lowering rules; a rule's index is its place."""
        return self.rule_set.rules

    @property
    def rows(self) -> list[Row]:
        """The instruction rows; a row's index is its place."""
        return self.table.rows

    def supports(self, op: Opcode, type_: Type | None = None, second: Type | None = None) -> bool:
        """Can ``op`` be lowered at T = ``type_`` and S = ``second``?"""
        if op is _JUMP or self.rule_set.supports(op, type_, second):
            return True
        if op is _ICONST:
            return type_ is not None and type_.is_int and type_.bits <= 64
        parts = expand.parts(op, type_, second)
        return (
            bool(parts)
            and all(self.supports(*part) for part in parts)
            and type_ is not None
            and all(self._passes(callee) for callee in expand.callees(op, type_, second))
        )

    def _passes(self, signature: Signature) -> bool:
        """Can a function of this signature be called?"""
        try:
            interface_of(signature, self.calls.conventions)
        except Unsupported:
            return False
        return True

    @cached_property
    def lacking(self) -> Lacking:
        """What the run-time library has to do for want of a rule."""
        has = self.rule_set.supports
        return frozenset((op, t) for op, t in expand.LIBRARY_HAS if not has(op, t, None))
