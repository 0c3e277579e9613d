"""The generator: one random CLIF function, valid by construction.

It is a recursive walk over *regions*, straight-line runs of items that end where they began: an item is
an operation, a memory access, or a structure with regions inside (if, switch, loop). Values in reach
are kept by type in the order they were made; leaving a region forgets what was made in it, so
definitions dominate uses without ever being checked.

What makes it shrink (measured: 5 instructions left where a plain composite leaves 30):

- an item's span holds its own continue-boolean, so deleting the span leaves a valid program;
- the operation is drawn before its operands, from a weighted table, simplest first;
- an operand is a number 0..15: 0 is a constant, most are a distance from the newest value of its
  type, wrapping, and the last is an expression of its own, used once, which is what
  instruction selectors fold; deleting something never misaligns what follows;
- every drawn number decodes to something valid.

What keeps it defined: loops count trips in a value of their own, slot bytes are written before any
read, slot accesses stay inside their slot, and stack addresses are never put among the values.
Accesses to the data region may go astray on purpose: that is a trap, and traps are compared.
"""

from __future__ import annotations

from typing import Final

from backend.ir.entities import (
    AbiParam,
    Block,
    BlockCall,
    Function,
    Inst,
    Signature,
    StackSlot,
    Value,
)
from backend.ir.opcodes import INT_CC, Opcode, opcode_named
from backend.ir.types import I8, I32, I64, Type
from fuzzer.case import DATA_BASE
from fuzzer.generate.constants import INTERESTING
from fuzzer.generate.operations import TYPES, Form, Operation, Repertoire
from fuzzer.generate.source import Source

# Span labels: what Hypothesis may delete or reorder as a whole.
ITEM: Final = 101
PARAMETER: Final = 102
RESULT: Final = 103
INPUT: Final = 104
HEADER: Final = 105
ARM: Final = 106
OPERAND: Final = 107

_IADD: Final = opcode_named("iadd")
_ISUB: Final = opcode_named("isub")
_BAND: Final = opcode_named("band")
_BOR: Final = opcode_named("bor")
_BXOR: Final = opcode_named("bxor")
_ISHL: Final = opcode_named("ishl")
_USHR: Final = opcode_named("ushr")
_ICMP: Final = opcode_named("icmp")
_ICONST: Final = opcode_named("iconst")
_UEXTEND: Final = opcode_named("uextend")
_SEXTEND: Final = opcode_named("sextend")
_LOAD: Final = opcode_named("load")
_STORE: Final = opcode_named("store")
_STACK_ADDR: Final = opcode_named("stack_addr")
_JUMP: Final = opcode_named("jump")
_BRIF: Final = opcode_named("brif")
_BR_TABLE: Final = opcode_named("br_table")
_RETURN: Final = opcode_named("return")
_TRAP: Final = opcode_named("trap")

_TRAP_CODES: Final = ("user1", "user2", "int_ovf", "user200", "bad_toint")
_SLOT_SIZES: Final = (8, 16, 64, 32, 4, 128, 24, 600, 5000, 16000)
_WINDOW: Final = 64
"""Bytes of a slot that are written at entry and accessed afterwards."""
_MAX_DEPTH: Final = 3
_MAX_NESTING: Final = 3
_EXPRESSION: Final = 15
_CONSTANT: Final = (0, 14)
_SHIFTS: Final = frozenset({"ishl", "ushr", "sshr", "rotr"})
_MAX_RESULTS: Final = 8


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


class FunctionGenerator:
    """Draws one function from a source. Use once: ``FunctionGenerator(...).draw()``."""

    def __init__(
        self, source: Source, repertoire: Repertoire, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self.source = source
        self.limits = limits
        self.repertoire = repertoire
        self.function = Function("%f")
        self._value_types = self.function.value_types
        self._scope: dict[Type, list[Value]] = {type_: [] for type_ in TYPES}
        self._block = Block(0)
        self._insts = self._block.insts
        self._items = 0
        self._depth = 0
        self._nesting = 0
        self._expression: Form | None = None
        self._trips = 1
        self._windows: list[tuple[int, int, int]] = []
        self._early_returns: list[tuple[Block, dict[Type, Value]]] = []
        self._pointer: Value | None = None
        self.memory_size = 0

    # -- the whole function --------------------------------------------------------------------------

    def draw(self) -> Function:
        """The function; ``memory_size`` and ``pointer_index`` then say what memory it expects."""
        source, function = self.source, self.function
        source.start(HEADER)
        off = source.int(0, (1 << 16) - 1) if source.bool(0.5) else 0
        types_off = source.int(0, 14) if source.bool(0.25) else 0
        self._operations = self.repertoire.table(off)
        self._types = self.repertoire.types(types_off)
        source.end()
        function.blocks.append(self._block)
        self._draw_parameters()
        self._draw_slots()
        self._region()
        results = self._draw_results()
        params = [self._value_types[v] for v in function.blocks[0].params]
        returns = [self._value_types[v] for v in results]
        function.signature = Signature(
            tuple([AbiParam(type_) for type_ in params]),
            tuple([AbiParam(type_) for type_ in returns]),
        )
        self._finish_early_returns(returns)
        self._shuffle_layout()
        return function

    @property
    def pointer_index(self) -> int:
        """Which parameter holds the data region's address, or -1."""
        if self._pointer is None:
            return -1
        return self.function.blocks[0].params.index(self._pointer)

    def _draw_parameters(self) -> None:
        source, entry = self.source, self.function.blocks[0]
        if source.bool(0.4):
            self.memory_size = 4096
            self._pointer = self._new(I64)
            entry.params.append(self._pointer)
        for _ in range(self.limits.parameters):
            source.start(PARAMETER)
            more = source.bool(0.7)
            if more:
                type_ = self._type()
                value = self._new(type_)
                entry.params.append(value)
                self._scope[type_].append(value)
            source.end()
            if not more:
                break

    def _draw_slots(self) -> None:
        source = self.source
        for number in range(3):
            source.start(PARAMETER)
            more = source.bool(0.2)
            if more:
                size = _SLOT_SIZES[source.int(0, len(_SLOT_SIZES) - 1)]
                window = min(size, _WINDOW)
                start = size - window if source.bool(0.3) else 0
                align = 1 << source.int(0, 4)
                self.function.stack_slots[number] = StackSlot(size, align)
                self._initialise_slot(number, start, window)
                self._windows.append((number, start, window))
            source.end()
            if not more:
                break

    def _initialise_slot(self, number: int, start: int, window: int) -> None:
        at = start
        while at < start + window:
            type_ = I64 if at + 8 <= start + window else I32
            address = self._emit1(_STACK_ADDR, I64, (), ref=number, imm=at)
            self._emit0(_STORE, type_, (self._operand(type_), address))
            at += type_.bytes

    def _draw_results(self) -> list[Value]:
        source = self.source
        results: list[Value] = []
        while len(results) < _MAX_RESULTS:
            source.start(RESULT)
            more = not results or source.bool(0.5)
            if more:
                results.append(self._operand(self._type()))
            source.end()
            if not more:
                break
        self._emit0(_RETURN, None, tuple(results))
        return results

    def _finish_early_returns(self, types: list[Type]) -> None:
        """Give the returns drawn on the way their operands, now that the result types are known."""
        for block, newest in self._early_returns:
            self._block, self._insts = block, block.insts
            args = []
            for type_ in types:
                value = newest.get(type_)
                args.append(self._constant(type_, 0) if value is None else value)
            self._emit0(_RETURN, None, tuple(args))

    def _shuffle_layout(self) -> None:
        source, blocks = self.source, self.function.blocks
        if len(blocks) < 3 or not source.bool(0.15):
            return
        turn = source.int(0, 15) % (len(blocks) - 1)
        rest = blocks[1:]
        self.function.blocks = [blocks[0], *rest[turn:], *rest[:turn]]
        if source.bool(0.3):
            rest[source.int(0, 15) % len(rest)].cold = True

    # -- values ----------------------------------------------------------------------------------------

    def _new(self, type_: Type) -> Value:
        types = self._value_types
        value = len(types)
        types[value] = type_
        return value

    def _type(self) -> Type:
        types = self._types
        return types[self.source.int(0, 3) % len(types)]

    def _emit1(self, op: Opcode, type_: Type, args: tuple[Value, ...], *, imm: int = 0,
               ref: int = -1, keyword: str = "") -> Value:  # fmt: skip
        """An instruction of one result of type ``type_`` that is not put in reach."""
        value = self._new(type_)
        self._insts.append(Inst(op, type_, args, (value,), imm=imm, ref=ref, keyword=keyword))
        return value

    def _emit0(self, op: Opcode, type_: Type | None, args: tuple[Value, ...] = (), *, imm: int = 0,
               keyword: str = "", targets: tuple[BlockCall, ...] = ()) -> None:  # fmt: skip
        self._insts.append(Inst(op, type_, args, (), imm=imm, keyword=keyword, targets=targets))

    def _constant(self, type_: Type, bits: int) -> Value:
        return self._emit1(_ICONST, type_, (), imm=bits)

    def _drawn_constant(self, type_: Type) -> Value:
        return self._constant(type_, draw_integer(self.source, type_))

    def _operand(self, type_: Type) -> Value:
        distance = self.source.int(0, 15)
        if distance == _EXPRESSION and self._nesting < _MAX_NESTING:
            return self._nested(type_)
        values = self._scope[type_]
        if distance in _CONSTANT or not values:
            return self._drawn_constant(type_)
        return values[-1 - (distance - 1) % len(values)]

    def _nested(self, type_: Type, form: Form | None = None) -> Value:
        """An expression that only its user sees; ``form``: of this form, not a drawn one."""
        source = self.source
        source.start(OPERAND)
        if form is None:
            forms = self.repertoire.nested[type_]
            form = forms[source.int(0, len(forms) - 1)]
        keyword = ""
        if form.op.shape == "int_compare":
            keyword = INT_CC[source.int(0, len(INT_CC) - 1)]
        self._nesting += 1
        first, *rest = form.operands
        deeper = self._nesting < _MAX_NESTING and source.bool(0.5)
        args = [self._nested(first) if deeper else self._operand(first)]
        for other in rest:
            way = source.int(0, 7)
            if way > 5:
                args.append(self._operand(other))
            elif form.op.name in _SHIFTS:
                amount = source.int(0, 4) if way < 2 else source.int(0, type_.bits - 1)
                args.append(self._constant(other, amount))
            elif way < 2:
                args.append(self._constant(other, 1))
            elif way < 4:
                args.append(self._constant(other, 1 << source.int(0, other.bits - 1)))
            else:
                args.append(self._drawn_constant(other))
        self._nesting -= 1
        value = self._new(type_)
        self._insts.append(Inst(form.op, form.control, tuple(args), (value,), keyword=keyword))
        self._expression = form
        source.end()
        return value

    # -- regions and items -------------------------------------------------------------------------------

    def _region(self) -> None:
        source = self.source
        more = self.limits.more if self._depth == 0 else 0.7
        while self._items < self.limits.items:
            source.start(ITEM)
            go = source.bool(more)
            if go:
                self._items += 1
                self._item()
            source.end()
            if not go:
                return

    def _item(self) -> None:
        operations = self._operations
        operation = operations[self.source.int(0, len(operations) - 1)]
        handler = _STRUCTURE_OF.get(operation.shape)
        if handler is not None:
            handler(self, operation)
            return
        types = operation.types
        type_ = self._type()
        if type_ not in operation.forms:
            type_ = types[TYPES.index(type_) % len(types)]
        forms = operation.forms[type_]
        form = forms[0] if len(forms) == 1 else forms[self.source.int(0, 3) % len(forms)]
        self._plain(operation, form)

    def _plain(self, operation: Operation, form: Form) -> None:
        source, op = self.source, form.op
        keyword = ""
        if operation.shape == "int_compare":
            keyword = INT_CC[source.int(0, len(INT_CC) - 1)]
        elif operation.shape in ("cond_trap", "add_trap"):
            keyword = _TRAP_CODES[source.int(0, len(_TRAP_CODES) - 1)]
        self._expression = None
        args: list[Value] = []
        for type_ in form.operands:
            twin = self._expression
            if args and twin is not None and twin.results[0] is type_ and source.bool(0.25):
                args.append(self._nested(type_, twin))
            else:
                args.append(self._operand(type_))
        if keyword and op.shape == "int_compare" and source.bool(0.25):
            if source.bool(0.3):
                args[0] = self._nested(form.operands[0])
            args[1] = self._constant(form.operands[1], 0)
        if op.traps:
            self._tame(operation, form, args)
        results = tuple([self._new(type_) for type_ in form.results])
        self._insts.append(Inst(op, form.control, tuple(args), results, keyword=keyword))
        for value, type_ in zip(results, form.results, strict=True):
            self._scope[type_].append(value)

    def _tame(self, operation: Operation, form: Form, args: list[Value]) -> None:
        """Mostly avoid a trap that would hide all that follows it."""
        if not self.source.bool(0.85):
            return
        type_ = form.operands[0]
        if operation.shape == "cond_trap":
            compare = "ult" if operation.name == "trapnz" else "uge"
            limit = self._constant(type_, 3)
            args[0] = self._emit1(_ICMP, type_, (args[0], limit), keyword=compare)
            self._value_types[args[0]] = I8
        elif operation.shape == "add_trap":
            args[1] = self._emit1(_BAND, type_, (args[1], self._constant(type_, 0xFF)))
        else:
            args[1] = self._emit1(_BOR, type_, (args[1], self._constant(type_, 1)))

    # -- memory ------------------------------------------------------------------------------------------

    def _access(self, operation: Operation) -> None:
        """A load or store of the data region, or, without one, of a slot."""
        if self._pointer is None:
            self._slot_access(operation)
            return
        source, op = self.source, operation.op
        assert op is not None
        type_ = self._type()
        if type_ not in operation.forms:
            type_ = operation.types[TYPES.index(type_) % len(operation.types)]
        width = _access_bytes(op, type_)
        address, room = self._data_address(width)
        offset = 0 if source.bool(0.5) else source.int(0, 255) % (room - width + 1)
        if source.bool(0.02):
            offset = (4096 - width // 2, 8192, -8, 0x7FFFFFF8)[source.int(0, 3)]
        self._load_or_store(op, type_, address, offset)

    def _data_address(self, width: int) -> tuple[Value, int]:
        """An address in the data region, and how many bytes are in bounds from it."""
        source, pointer = self.source, self._pointer
        assert pointer is not None
        way = source.int(0, 7)
        if way < 2:
            return pointer, 4096
        if way == 6:
            step = self._constant(I64, source.int(0, 300))
            return self._emit1(_IADD, I64, (pointer, step)), 2048
        if way == 7:
            return self._constant(I64, DATA_BASE + 1024), 3072
        if way == 2:
            mask = self._constant(I64, 0x7FF)
            index = self._emit1(_BAND, I64, (self._operand(I64), mask))
            return self._emit1(_IADD, I64, (pointer, index)), 2048
        if way == 3:
            mask = self._constant(I64, 0xFF)
            index = self._emit1(_BAND, I64, (self._operand(I64), mask))
            amount = self._constant(I64, width.bit_length() - 1)
            index = self._emit1(_ISHL, I64, (index, amount))
            return self._emit1(_IADD, I64, (pointer, index)), 2048
        mask = self._constant(I32, 0xF8)
        narrow = self._emit1(_BAND, I32, (self._operand(I32), mask))
        extend = _UEXTEND if way == 4 else _SEXTEND
        index = self._emit1(extend, I64, (narrow,))
        if source.bool(0.5):
            amount = self._constant(I64, source.int(0, width.bit_length() - 1))
            index = self._emit1(_ISHL, I64, (index, amount))
        return self._emit1(_IADD, I64, (pointer, index)), 2048

    def _slot_access(self, operation: Operation) -> None:
        """A load or store inside a slot's window; without slots, a plain addition."""
        source = self.source
        if not self._windows:
            self._add()
            return
        number, start, window = self._windows[source.int(0, 2) % len(self._windows)]
        store = operation.name in ("stack_store", "store") or operation.name.startswith("istore")
        type_ = self._type()
        if type_.bytes > window:
            type_ = I32
        room = window - type_.bytes
        if source.bool(0.3) and room >= 8:
            half = 1 << ((room // 2).bit_length() - 1)
            address = self._emit1(_STACK_ADDR, I64, (), ref=number, imm=start)
            mask = self._constant(I64, half - 1)
            index = self._emit1(_BAND, I64, (self._operand(I64), mask))
            address = self._emit1(_IADD, I64, (address, index))
            offset = source.int(0, 63) % (room - half + 1)
        else:
            at = start + source.int(0, 63) % (room + 1)
            split = source.bool(0.3)
            offset = at if split else 0
            address = self._emit1(_STACK_ADDR, I64, (), ref=number, imm=0 if split else at)
        self._load_or_store(_STORE if store else _LOAD, type_, address, offset)

    def _load_or_store(self, op: Opcode, type_: Type, address: Value, offset: int) -> None:
        if op.writes:
            self._emit0(op, type_, (self._operand(type_), address), imm=offset)
        else:
            value = self._emit1(op, type_, (address,), imm=offset)
            self._scope[type_].append(value)

    def _add(self) -> None:
        type_ = self._type()
        value = self._emit1(_IADD, type_, (self._operand(type_), self._operand(type_)))
        self._scope[type_].append(value)

    def _funnel(self, operation: Operation) -> None:
        """Two shifts that meet in a disjunction: a rotation, or an extraction from a pair."""
        source = self.source
        type_ = self._type()
        high, low = self._operand(type_), self._operand(type_)
        left = source.int(1, type_.bits - 1)
        right = type_.bits - left if source.bool(0.9) else left
        up = self._emit1(_ISHL, type_, (high, self._constant(type_, left)))
        down = self._emit1(_USHR, type_, (low, self._constant(type_, right)))
        self._scope[type_].append(self._emit1(_BOR, type_, (up, down)))

    # -- structures --------------------------------------------------------------------------------------

    def _open_block(self, params: list[Type] | None = None) -> Block:
        """A new block, current from now on, with its parameters in reach."""
        block = Block(len(self.function.blocks))
        self.function.blocks.append(block)
        self._block, self._insts = block, block.insts
        for type_ in params or ():
            value = self._new(type_)
            block.params.append(value)
            self._scope[type_].append(value)
        return block

    def _marks(self) -> list[int]:
        return [len(values) for values in self._scope.values()]

    def _forget(self, marks: list[int]) -> None:
        for mark, values in zip(marks, self._scope.values(), strict=True):
            del values[mark:]

    def _carried(self) -> list[Type]:
        """Types of the values that a structure passes to the block after it: at most three."""
        types: list[Type] = []
        while len(types) < 3 and self.source.bool(0.5):
            types.append(self._type())
        return types

    def _arm(self, types: list[Type]) -> tuple[Block, Inst | None]:
        """A block with a region; its first block, and the jump to what follows unless it leaves."""
        source = self.source
        source.start(ARM)
        marks = self._marks()
        first = self._open_block()
        self._region()
        jump: Inst | None = None
        leave = source.int(0, 31)
        if leave == 31:
            newest = {type_: values[-1] for type_, values in self._scope.items() if values}
            self._early_returns.append((self._block, newest))
        elif leave == 30:
            self._emit0(_TRAP, None, keyword=_TRAP_CODES[source.int(0, len(_TRAP_CODES) - 1)])
        else:
            args = tuple([self._operand(type_) for type_ in types])
            jump = Inst(_JUMP, None, targets=(BlockCall(-1, args),))
            self._insts.append(jump)
        self._forget(marks)
        source.end()
        return first, jump

    def _join(self, types: list[Type], jumps: list[Inst | None]) -> None:
        join = self._open_block(types)
        for jump in jumps:
            if jump is not None:
                jump.targets[0].block = join.id

    def _if(self, operation: Operation) -> None:
        if self._depth >= _MAX_DEPTH:
            self._add()
            return
        source = self.source
        condition = self._condition()
        types = self._carried()
        branch = Inst(_BRIF, None, (condition,))
        self._insts.append(branch)
        self._depth += 1
        then, then_jump = self._arm(types)
        if types or source.bool(0.6):
            other, other_jump = self._arm(types)
            self._depth -= 1
            if then_jump is None and other_jump is None:
                other_jump = self._revive(types)
            self._join(types, [then_jump, other_jump])
            branch.targets = (BlockCall(then.id), BlockCall(other.id))
        else:
            self._depth -= 1
            self._join(types, [then_jump])
            branch.targets = (BlockCall(then.id), BlockCall(self._block.id))
        if source.bool(0.2):
            branch.targets = branch.targets[::-1]

    def _condition(self) -> Value:
        """What a branch tests: a value, a comparison, often with zero, or one bit."""
        source = self.source
        way = source.int(0, 7)
        if way == 0:
            return self._operand(I8)
        type_ = self._type()
        if way == 1:
            return self._operand(type_)
        if way in (5, 6):
            bit = self._constant(type_, 1 << source.int(0, type_.bits - 1))
            tested = self._emit1(_BAND, type_, (self._operand(type_), bit))
            if way == 5:
                return tested
            keyword = INT_CC[source.int(0, 1)]
        else:
            tested = self._operand(type_)
            keyword = INT_CC[source.int(0, len(INT_CC) - 1)]
        zero = way in (3, 4, 6)
        other = self._constant(type_, 0) if zero else self._operand(type_)
        value = self._new(I8)
        self._insts.append(Inst(_ICMP, type_, (tested, other), (value,), keyword=keyword))
        if source.bool(0.2):
            self._scope[I8].append(value)
        return value

    def _revive(self, types: list[Type]) -> Inst:
        """Every arm left: make the last one fall through after all, so that code goes on."""
        if self._early_returns and self._early_returns[-1][0] is self._block:
            self._early_returns.pop()
        else:
            self._insts.pop()
        args = tuple([self._constant(type_, 0) for type_ in types])
        jump = Inst(_JUMP, None, targets=(BlockCall(-1, args),))
        self._insts.append(jump)
        return jump

    def _switch(self, operation: Operation) -> None:
        if self._depth >= _MAX_DEPTH:
            self._add()
            return
        source = self.source
        count = source.int(0, 5)
        index = self._operand(I32)
        if source.bool(0.7):
            index = self._emit1(_BAND, I32, (index, self._constant(I32, 7)))
        types = self._carried()
        branch = Inst(_BR_TABLE, None, (index,))
        self._insts.append(branch)
        self._depth += 1
        arms = [self._arm(types) for _ in range(1 + min(count, 3))]
        self._depth -= 1
        jumps = [jump for _, jump in arms]
        if all(jump is None for jump in jumps):
            jumps.append(self._revive(types))
        self._join(types, jumps)
        targets = [BlockCall(arms[i % len(arms)][0].id) for i in range(1 + count)]
        branch.targets = tuple(targets)

    def _loop(self, operation: Operation) -> None:
        """A loop that counts down from a constant; at most 64 trips over all nesting levels."""
        source = self.source
        trips = source.int(1, self.limits.trips)
        if self._depth >= _MAX_DEPTH or self._trips * trips > 64:
            self._add()
            return
        types = self._carried()
        counter = self._constant(I32, trips)
        start = tuple([self._operand(type_) for type_ in types])
        enter = Inst(_JUMP, None, targets=(BlockCall(-1, (counter, *start)),))
        self._insts.append(enter)
        self._depth += 1
        self._trips *= trips
        marks = self._marks()
        header = self._open_block([I32, *types])
        enter.targets[0].block = header.id
        source.start(ARM)
        self._region()
        source.end()
        carried = tuple([self._operand(type_) for type_ in types])
        one = self._constant(I32, 1)
        left = self._emit1(_ISUB, I32, (header.params[0], one))
        branch = Inst(_BRIF, None, (left,))
        self._insts.append(branch)
        self._forget(marks)
        self._depth -= 1
        self._trips //= trips
        after = self._open_block(types)
        branch.targets = (BlockCall(header.id, (left, *carried)), BlockCall(after.id, carried))

    def _pressure(self, operation: Operation) -> None:
        """Many values made, kept over a region, and only then used: what runs out of registers."""
        source = self.source
        type_ = self._type()
        count = 4 + (source.int(0, 36) if source.bool(0.3) else 0)
        seeds = [self._operand(type_), self._operand(type_)]
        live = []
        for i in range(count):
            step = self._emit1(_IADD, type_, (seeds[0], seeds[1]))
            live.append(step)
            seeds = [step, seeds[i & 1]]
        if self._depth < _MAX_DEPTH:
            self._depth += 1
            self._region()
            self._depth -= 1
        total = live[0]
        for value in live[1:]:
            total = self._emit1(_BXOR if value & 1 else _ISUB, type_, (total, value))
        self._scope[type_].append(total)


def _access_bytes(op: Opcode, type_: Type) -> int:
    digits = "".join(c for c in op.name if c.isdigit())
    return int(digits) // 8 if digits else type_.bytes


def draw_integer(source: Source, type_: Type) -> int:
    """Unsigned bits of type ``type_``: mostly an interesting constant, else anything."""
    table = INTERESTING[type_]
    way = source.int(0, 7)
    if way < 3:
        return table[source.int(0, 15)]
    if way < 6:
        return table[source.int(0, len(table) - 1)]
    return source.int(0, 255 if way == 6 else type_.mask)


_STRUCTURE_OF: Final = {
    "load": FunctionGenerator._access,
    "store": FunctionGenerator._access,
    "stack_load": FunctionGenerator._slot_access,
    "stack_store": FunctionGenerator._slot_access,
    "brif": FunctionGenerator._if,
    "br_table": FunctionGenerator._switch,
    "loop": FunctionGenerator._loop,
    "pressure": FunctionGenerator._pressure,
    "funnel": FunctionGenerator._funnel,
}
