"""A function while it is drawn: the values in reach, and the operands made of them.

Values in reach are kept by type in the order they were made; leaving a region forgets what was made
in it, so definitions dominate uses without ever being checked. Stack addresses are never put in reach.

**NaNs.** Which float values *may* be a NaN of open sign and payload is known at every step (``open``). Such a
value is only ever a NaN of its whole type, and only goes where that changes nothing but bits that are as open: to
arithmetic, comparisons, conversions, selects, edges, results, and to memory that nothing but that type's own accesses
read. Anywhere else it goes as a canonical NaN (:meth:`Draft.closed`). So integers have no open bits, and neither
has anything that control flow, addresses and traps depend on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from backend.ir.opcodes import FLOAT_CC, INT_CC, Opcode, opcode_named
from backend.ir.types import F32, F64, I8, I64, I128, Type
from fuzzer.generate.calls import Callee
from fuzzer.generate.constants import draw_bits, quiet_nan, small_number
from fuzzer.generate.operations import INTEGERS, Form, Repertoire
from fuzzer.generate.source import Source
from fuzzer.reference.open_bits import OPEN_RESULTS

_IADD: Final = opcode_named("iadd")
_BXOR: Final = opcode_named("bxor")
_FADD: Final = opcode_named("fadd")
_FCMP: Final = opcode_named("fcmp")
_FNEG: Final = opcode_named("fneg")
_SELECT: Final = opcode_named("select")
_ICONST: Final = opcode_named("iconst")
_FLOAT_CONST: Final = {F32: opcode_named("f32const"), F64: opcode_named("f64const")}
_UEXTEND: Final = opcode_named("uextend")
_SEXTEND: Final = opcode_named("sextend")
_ICONCAT: Final = opcode_named("iconcat")

_OPENING: Final = frozenset(map(opcode_named, OPEN_RESULTS))
_KEEPING: Final = frozenset(map(opcode_named, (
    "fneg", "fabs", "fcopysign", "select", "select_spectre_guard", "bitcast")))  # fmt: skip
"""Of open operands these make an open float, a NaN still."""
_REFUSING: Final[dict[Opcode, int]] = {
    **dict.fromkeys(map(opcode_named, ("band", "bor", "bxor", "bnot", "bitselect", "bitcast")), 0),
    opcode_named("fcopysign"): 1,
}
"""Of open operands these would make something else: an integer, or a number of open sign. From which operand on."""
KEYWORDS: Final = {"int_compare": INT_CC, "float_compare": FLOAT_CC}
"""Conditions by shape."""

_MAX_NESTING: Final = 3
_EXPRESSION: Final = 15
_CONSTANT: Final = (0, 14)
_SHIFTS: Final = frozenset({"ishl", "ushr", "sshr", "rotr"})
_GATHERED: Final = 0.75
"""How often what a block passes on, or the function returns, is a value that nothing uses yet: of what is drawn at
random half would be dead, and a bug in what is dead is not seen."""
_TOGETHER: Final = 0.85
"""How often one more of these values comes along."""

OPERAND: Final = 107
"""Span label of an expression; the other labels are the generator's."""


class Limits:
    """How large a function may get. ``items``: operations and structures drawn; ``trips``: of one loop;
    ``slot_bytes``: of one stack slot; ``sites``: calls within a ring (:mod:`fuzzer.generate.calls`)."""

    __slots__ = ("inputs", "items", "more", "parameters", "sites", "slot_bytes", "trips")

    def __init__(
        self,
        items: int = 40,
        *,
        more: float = 0.94,
        parameters: int = 15,
        trips: int = 4,
        inputs: int = 16,
        slot_bytes: int = 16000,
        sites: int = 1,
    ) -> None:
        self.items = items
        self.more = more
        self.parameters = parameters
        self.trips = trips
        self.inputs = inputs
        self.slot_bytes = slot_bytes
        self.sites = sites


DEFAULT_LIMITS: Final = Limits()
CALLEE_LIMITS: Final = Limits(items=10, more=0.85, slot_bytes=128, sites=2)
"""Of a function that is called: its slots are small, so that many frames fit the stack of the executor."""


class Draft(ABC):
    """What every part of the generator works on: the function so far, and the way to add to it.

    ``types``, ``integers``: what types are drawn from, :data:`fuzzer.generate.operations.DRAWS` each; ``open``: the
    float values that may be NaNs of open bits; ``windows``: (slot, first byte, bytes, the float type that alone is
    kept there, or None) that are initialised; ``pointer``: the parameter that holds the data region's address;
    ``context``: it is the vmctx, which global values begin at; ``callees``: the functions that may be called;
    ``trips``: of all loops around the current block, ``first_trips`` where there are none; ``ring``: itself and those
    that it may call with less ``fuel``, () if it can't recur; ``sites``: such calls there are.
    """

    def __init__(self, source: Source, repertoire: Repertoire, limits: Limits) -> None:
        self.source = source
        self.limits = limits
        self.repertoire = repertoire
        self.function = Function("%f")
        self.value_types = self.function.value_types
        self.types: tuple[Type, ...] = ()
        self.integers: tuple[Type, ...] = ()
        self.floats = False
        self.open: set[Value] = set()
        self.scope: dict[Type, list[Value]] = {type_: [] for type_ in INTEGERS}
        self.block = Block(0)
        self.insts = self.block.insts
        self.items = 0
        self.depth = 0
        self.nesting = 0
        self.trips = 1
        self.expression: Form | None = None
        self.windows: list[tuple[int, int, int, Type | None]] = []
        self.early_returns: list[tuple[Block, dict[Type, Value]]] = []
        self.pointer: Value | None = None
        self.context = False
        self.callees: list[Callee] = []
        self.ring: Sequence[Callee] = ()
        self.fuel: Value | None = None
        self.sites = 0
        self.first_trips = 1

    @abstractmethod
    def region(self) -> None:
        """Draw items into the current block until the source has enough of them."""

    def new(self, type_: Type) -> Value:
        types = self.value_types
        value = len(types)
        types[value] = type_
        return value

    def draw_type(self) -> Type:
        return self.types[self.source.int(0, 15)]

    def draw_integer_type(self) -> Type:
        return self.integers[self.source.int(0, 15)]

    def draw_keyword(self, shape: str) -> str:
        """A condition, if instructions of this shape have one."""
        conditions = KEYWORDS.get(shape)
        return conditions[self.source.int(0, len(conditions) - 1)] if conditions else ""

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
        """A value of these bits. There is no constant of i128: it is made of constants of i64."""
        if type_.bits <= 64:
            return self.emit(_FLOAT_CONST.get(type_, _ICONST), type_, (), imm=bits)
        low, high = bits & I64.mask, bits >> 64
        lower = self.emit(_ICONST, I64, (), imm=low)
        if not high:
            return self.emit(_UEXTEND, I128, (lower,))
        if high == I64.mask and low & I64.sign:
            return self.emit(_SEXTEND, I128, (lower,))
        upper = self.emit(_ICONST, I64, (), imm=high)
        value = self.new(I128)
        self.insts.append(Inst(_ICONCAT, I64, (lower, upper), (value,)))
        return value

    def number(self, type_: Type, number: int) -> Value:
        """A constant of a small number >= 0."""
        return self.constant(type_, small_number(type_, number))

    def drawn_constant(self, type_: Type) -> Value:
        return self.constant(type_, draw_bits(self.source, type_))

    def closed(self, value: Value) -> Value:
        """``value``, with the canonical NaN in its place if it is a NaN whose bits may be open."""
        if value not in self.open:
            return value
        type_ = self.value_types[value]
        unordered = self.compare(_FCMP, type_, value, value, "uno")
        nan = self.constant(type_, quiet_nan(type_))
        return self.emit(_SELECT, type_, (unordered, nan, value))

    def compare(self, op: Opcode, type_: Type, x: Value, y: Value, condition: str) -> Value:
        """An icmp or fcmp that is not put in reach."""
        value = self.new(I8)
        self.insts.append(Inst(op, type_, (x, y), (value,), keyword=condition))
        return value

    def made(self, form: Form, args: list[Value], keyword: str) -> tuple[Value, ...]:
        """An instruction of this form: its results, not in reach. Operands whose open bits it would spread are closed,
        and results that may have some are noted."""
        op = form.op
        if self.open:
            first = _REFUSING.get(op)
            if first is not None and not (op.name == "bitcast" and form.results == form.operands):
                args[first:] = [self.closed(arg) for arg in args[first:]]
        results = tuple([self.new(type_) for type_ in form.results])
        self.insts.append(Inst(op, form.control, tuple(args), results, keyword=keyword))
        if self.floats and (
            op in _OPENING or (op in _KEEPING and not self.open.isdisjoint(args))
        ):  # fmt: skip
            self.open.update(results)
        return results

    def operand(self, type_: Type) -> Value:
        distance = self.source.int(0, 15)
        if (
            distance == _EXPRESSION
            and self.nesting < _MAX_NESTING
            and self.repertoire.nested[type_]
        ):
            return self.nested(type_)
        values = self.scope[type_]
        if distance in _CONSTANT or not values:
            return self.drawn_constant(type_)
        return values[-1 - (distance - 1) % len(values)]

    def loose(self, first: Block, marks: Sequence[int]) -> dict[Type, list[Value]]:
        """What was put in reach since ``marks`` and has no use in the blocks from ``first`` on, newest first."""
        used: set[Value] = set()
        for block in self.function.blocks[self.function.blocks.index(first) :]:
            for inst in block.insts:
                used.update(inst.args)
            for target in block.insts[-1].successors() if block.insts else ():
                used.update(target.args)
        return {
            type_: [value for value in reversed(values[mark:]) if value not in used]
            for mark, (type_, values) in zip(marks, self.scope.items(), strict=True)
        }

    def gathered(self, type_: Type, loose: dict[Type, list[Value]]) -> Value:
        """A value for what comes after: mostly one of the ``loose`` or, of integers, the exclusive or of some, which
        would else have been for nothing."""
        source, values = self.source, loose[type_]
        if not values or not source.bool(_GATHERED):
            return self.operand(type_)
        value = values.pop(source.int(0, 15) % len(values))
        while values and type_ in self.repertoire.mixed and source.bool(_TOGETHER):
            value = self.emit(_BXOR, type_, (value, values.pop(source.int(0, 15) % len(values))))
        return value

    def nested(self, type_: Type, form: Form | None = None) -> Value:
        """An expression that only its user sees; ``form``: of this form, not a drawn one."""
        source = self.source
        source.start(OPERAND)
        if form is None:
            choices = self.repertoire.nested[type_]
            forms = choices[source.int(0, len(choices) - 1)]
            form = forms[0] if len(forms) == 1 else forms[source.int(0, 3) % len(forms)]
        keyword = self.draw_keyword(form.op.shape)
        self.nesting += 1
        first, *rest = form.operands
        deeper = self.nesting < _MAX_NESTING and source.bool(0.5 if rest else 0.8)
        args = [
            self.nested(first) if deeper and self.repertoire.nested[first] else self.operand(first)
        ]
        for other in rest:
            way = source.int(0, 7)
            if way > 4 or other.is_float:
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
        (value,) = self.made(form, args, keyword)
        self.expression = form
        source.end()
        return value

    def truth(self, type_: Type) -> Value:
        """A condition made of another value, which may say the same."""
        by_opcode: dict[str, list[Form]] = {}
        for form in self.repertoire.kindred("trapz", type_):
            if len(form.operands) == 1:
                by_opcode.setdefault(form.op.name, []).append(form)
        if not by_opcode:
            return self.operand(type_)
        opcodes = tuple(by_opcode.values())
        forms = opcodes[self.source.int(0, len(opcodes) - 1)]
        form = forms[self.source.int(0, len(forms) - 1)]
        return self.made(form, [self.operand(form.operands[0])], "")[0]

    def add(self) -> None:
        type_ = self.draw_type()
        value = self.sum(type_, self.operand(type_), self.operand(type_))
        self.scope[type_].append(value)

    def sum(self, type_: Type, x: Value, y: Value) -> Value:
        """x + y of any type, not put in reach."""
        if type_.is_float:
            return self.arithmetic(_FADD, type_, x, y)
        return self.emit(_IADD, type_, (x, y))

    def shift(self, op: Opcode, type_: Type, value: Value, amount: int) -> Value:
        """A shift of any integer type by a constant, not put in reach."""
        by = I64 if type_ is I128 else type_
        return self.emit(op, type_, (value, self.constant(by, amount)))

    def arithmetic(self, op: Opcode, type_: Type, x: Value, y: Value) -> Value:
        """A float operation on two operands whose NaNs have open bits; not put in reach."""
        value = self.emit(op, type_, (x, y))
        self.open.add(value)
        return value

    def negation(self, type_: Type, x: Value) -> Value:
        """-x of a float type, not put in reach."""
        value = self.emit(_FNEG, type_, (x,))
        if x in self.open:
            self.open.add(value)
        return value

    def open_block(self, params: list[Type] | None = None) -> Block:
        """A new block, current from now on, with its parameters in reach."""
        block = Block(len(self.function.blocks))
        self.function.blocks.append(block)
        self.block, self.insts = block, block.insts
        for type_ in params or ():
            value = self.new(type_)
            block.params.append(value)
            self.scope[type_].append(value)
            if type_.is_float:
                self.open.add(value)  # some edge may bring an open one
        return block

    def marks(self) -> list[int]:
        return [len(values) for values in self.scope.values()]

    def forget(self, marks: list[int]) -> None:
        for mark, values in zip(marks, self.scope.values(), strict=True):
            del values[mark:]
