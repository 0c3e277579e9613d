"""A function while it is drawn: the values in reach, and the operands made of them.

Values in reach are kept by type in the order they were made; leaving a region forgets what was made
in it, so definitions dominate uses without ever being checked. Stack addresses are never put in reach.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Final

from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from backend.ir.opcodes import INT_CC, Opcode, opcode_named
from backend.ir.types import Type
from fuzzer.generate.constants import INTERESTING
from fuzzer.generate.operations import TYPES, Form, Repertoire
from fuzzer.generate.source import Source

_IADD: Final = opcode_named("iadd")
_ICONST: Final = opcode_named("iconst")

_MAX_NESTING: Final = 3
_EXPRESSION: Final = 15
_CONSTANT: Final = (0, 14)
_SHIFTS: Final = frozenset({"ishl", "ushr", "sshr", "rotr"})

OPERAND: Final = 107
"""Span label of an expression; the other labels are the generator's."""


class Limits:
    """How large a function may get. ``items``: operations and structures drawn; ``trips``: of one loop."""

    __slots__ = ("inputs", "items", "more", "parameters", "trips")

    def __init__(
        self,
        items: int = 40,
        *,
        more: float = 0.94,
        parameters: int = 10,
        trips: int = 4,
        inputs: int = 16,
    ) -> None:
        self.items = items
        self.more = more
        self.parameters = parameters
        self.trips = trips
        self.inputs = inputs


DEFAULT_LIMITS: Final = Limits()


class Draft(ABC):
    """What every part of the generator works on: the function so far, and the way to add to it.

    ``windows``: (slot, first byte,
    bytes) that are initialised; ``pointer``: the parameter that holds the data region's address.
    """

    def __init__(self, source: Source, repertoire: Repertoire, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.repertoire = repertoire
        self.function = Function("%f")
        self.value_types = self.function.value_types
        self.types: tuple[Type, ...] = TYPES
        self.scope: dict[Type, list[Value]] = {type_: [] for type_ in TYPES}
        self.block = Block(0)
        self.insts = self.block.insts
        self.items = 0
        self.depth = 0
        self.nesting = 0
        self.trips = 1
        self.expression: Form | None = None
        self.windows: list[tuple[int, int, int]] = []
        self.early_returns: list[tuple[Block, dict[Type, Value]]] = []
        self.pointer: Value | None = None

    @abstractmethod
    def region(self) -> None:
        """Draw items into the current block until the source has enough of them."""

    def new(self, type_: Type) -> Value:
        types = self.value_types
        value = len(types)
        types[value] = type_
        return value

    def draw_type(self) -> Type:
        types = self.types
        return types[self.source.int(0, 3) % len(types)]

    def emit(self, op: Opcode, type_: Type, args: tuple[Value, ...], *, imm: int = 0,
               ref: int = -1, keyword: str = "") -> Value:  # fmt: skip
        """An instruction of one result of type ``type_`` that is not put in reach."""
        value = self.new(type_)
        self.insts.append(Inst(op, type_, args, (value,), imm=imm, ref=ref, keyword=keyword))
        return value

    def effect(self, op: Opcode, type_: Type | None, args: tuple[Value, ...] = (), *, imm: int = 0,
               keyword: str = "", targets: tuple[BlockCall, ...] = ()) -> None:  # fmt: skip
        self.insts.append(Inst(op, type_, args, (), imm=imm, keyword=keyword, targets=targets))

    def constant(self, type_: Type, bits: int) -> Value:
        return self.emit(_ICONST, type_, (), imm=bits)

    def drawn_constant(self, type_: Type) -> Value:
        return self.constant(type_, draw_integer(self.source, type_))

    def operand(self, type_: Type) -> Value:
        distance = self.source.int(0, 15)
        if distance == _EXPRESSION and self.nesting < _MAX_NESTING:
            return self.nested(type_)
        values = self.scope[type_]
        if distance in _CONSTANT or not values:
            return self.drawn_constant(type_)
        return values[-1 - (distance - 1) % len(values)]

    def nested(self, type_: Type, form: Form | None = None) -> Value:
        """An expression that only its user sees; ``form``: of this form, not a drawn one."""
        source = self.source
        source.start(OPERAND)
        if form is None:
            choices = self.repertoire.nested[type_]
            forms = choices[source.int(0, len(choices) - 1)]
            form = forms[0] if len(forms) == 1 else forms[source.int(0, 3) % len(forms)]
        keyword = ""
        if form.op.shape == "int_compare":
            keyword = INT_CC[source.int(0, len(INT_CC) - 1)]
        self.nesting += 1
        first, *rest = form.operands
        deeper = self.nesting < _MAX_NESTING and source.bool(0.5 if rest else 0.8)
        args = [self.nested(first) if deeper else self.operand(first)]
        for other in rest:
            way = source.int(0, 7)
            if way > 4:
                args.append(self.operand(other))
            elif form.op.name in _SHIFTS:
                amount = source.int(0, 4) if way < 2 else source.int(0, type_.bits - 1)
                args.append(self.constant(other, amount))
            elif way < 2:
                args.append(self.constant(other, 1))
            elif way < 4:
                args.append(self.constant(other, 1 << source.int(0, other.bits - 1)))
            else:
                args.append(self.drawn_constant(other))
        self.nesting -= 1
        value = self.new(type_)
        self.insts.append(Inst(form.op, form.control, tuple(args), (value,), keyword=keyword))
        self.expression = form
        source.end()
        return value

    def add(self) -> None:
        type_ = self.draw_type()
        value = self.emit(_IADD, type_, (self.operand(type_), self.operand(type_)))
        self.scope[type_].append(value)

    def open_block(self, params: list[Type] | None = None) -> Block:
        """A new block, current from now on, with its parameters in reach."""
        block = Block(len(self.function.blocks))
        self.function.blocks.append(block)
        self.block, self.insts = block, block.insts
        for type_ in params or ():
            value = self.new(type_)
            block.params.append(value)
            self.scope[type_].append(value)
        return block

    def marks(self) -> list[int]:
        return [len(values) for values in self.scope.values()]

    def forget(self, marks: list[int]) -> None:
        for mark, values in zip(marks, self.scope.values(), strict=True):
            del values[mark:]


def draw_integer(source: Source, type_: Type) -> int:
    """Unsigned bits of type ``type_``: mostly an interesting constant, else anything."""
    table = INTERESTING[type_]
    way = source.int(0, 7)
    if way < 3:
        return table[source.int(0, 15)]
    if way < 6:
        return table[source.int(0, len(table) - 1)]
    return source.int(0, 255 if way == 6 else type_.mask)
