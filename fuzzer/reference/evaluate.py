"""The reference interpreter: what running a function *has to* come to.

A function is translated once (:func:`prepare`) and run on many inputs. Values get dense numbers, so that
a run's state is one list of ints; constants sit in it from the start. An instruction becomes a row

    (shape, function, result, T, operands..., index)

and a block a list of rows and a terminator. The rows' functions are the meanings of
:mod:`fuzzer.reference.semantics`; what touches memory or may trap on a condition is a closure over
(values, memory). One unit of fuel is an instruction, terminators included; a run that would spend more
than it has is :class:`~fuzzer.outcome.OutOfFuel`.

What has no meaning here (floats, vectors, calls, the environment) raises ``Unsupported`` when the
function is prepared, never in a run. The function has to be valid (:mod:`backend.ir.verifier`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backend.errors import Unsupported
from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from backend.ir.opcodes import Opcode, opcode_named
from backend.ir.types import I64, Type
from fuzzer.case import Case, Input
from fuzzer.outcome import Outcome, OutOfFuel, Returned, Trapped
from fuzzer.reference import semantics
from fuzzer.reference.memory import (
    ADDRESS_MASK,
    Memory,
    Trap,
    UndefinedBehaviour,
    slot_address,
)
from fuzzer.reference.semantics import signed

DEFAULT_FUEL: Final = 10_000

# What a row's first element says of how its function is called.
_EFFECT: Final = 0
"""function(values, memory)"""
_UNARY: Final = 1
_BINARY: Final = 2
_MANY: Final = 3
"""Any number of operands; the fifth element is a tuple of them."""
_SEVERAL: Final = 4
"""As _MANY, and the third element is a tuple of results."""

_JUMP: Final = 0
_BRIF: Final = 1
_BR_TABLE: Final = 2
_RETURN: Final = 3
_TRAP: Final = 4

_Row = tuple[int, Callable[..., Any], Any, Any, Any, int, int]
_Values = list[int]
_Effect = Callable[[_Values, Memory], None]
_Edge = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Position of the block it leads to, the parameters there, the arguments."""


class _Code:
    """A block as it is run. ``rows``: without those of constants; ``cost``: its instructions."""

    __slots__ = ("cost", "edges", "id", "insts", "operands", "rows", "terminator")

    def __init__(self, block: Block) -> None:
        self.id = block.id
        self.cost = len(block.insts)
        self.rows: list[_Row] = []
        self.terminator = _TRAP
        #: condition, index or return values, by value number; the trap code for _TRAP
        self.operands: Any = ()
        self.edges: list[_Edge] = []
        #: numbers of the results of each instruction, for tracing
        self.insts: list[tuple[int, ...]] = []


Step = tuple[int, int, tuple[int, ...]]
"""One executed instruction: block number, index in it, the results' bits (none if it trapped)."""


class Program:
    """A function made ready to run. Made by :func:`prepare`."""

    __slots__ = ("_blocks", "_initial", "_needs_memory", "_parameters", "_slot_sizes")

    def __init__(
        self,
        blocks: list[_Code],
        initial: _Values,
        parameters: int,
        slot_sizes: tuple[int, ...],
        needs_memory: bool,
    ) -> None:
        self._blocks = blocks
        self._initial = initial
        self._parameters = parameters
        self._slot_sizes = slot_sizes
        self._needs_memory = needs_memory

    def run(self, input: Input, memory: bytes = b"", fuel: int = DEFAULT_FUEL) -> Outcome:
        """What the function does on one input: unsigned bits of each parameter's type.

        ``memory``: the data region's bytes before. UndefinedBehaviour if the input makes the case
        invalid; ValueError if it has not one value for each parameter.
        """
        return self._run(input, memory, fuel, None)

    def trace(self, input: Input, memory: bytes = b"", fuel: int = DEFAULT_FUEL) -> list[Step]:
        """The instructions executed, in order; the last of them may have trapped."""
        steps: list[Step] = []
        self._run(input, memory, fuel, steps)
        return steps

    def _run(self, input: Input, memory: bytes, fuel: int, steps: list[Step] | None) -> Outcome:
        if len(input) != self._parameters:
            raise ValueError(f"{len(input)} values for {self._parameters} parameters")
        values = self._initial[:]
        values[: self._parameters] = input
        state = Memory(memory, self._slot_sizes) if self._needs_memory else None
        blocks = self._blocks
        code = blocks[0]
        index = 0
        try:
            while True:
                fuel -= code.cost
                rows = code.rows
                if fuel < 0:
                    left = fuel + code.cost
                    rows = [row for row in rows if row[6] < left]
                for shape, function, result, t, a, b, index in rows:  # noqa: B007  # read on a trap
                    if shape == _BINARY:
                        values[result] = function(t, values[a], values[b])
                    elif shape == _UNARY:
                        values[result] = function(t, values[a])
                    elif shape == _EFFECT:
                        function(values, state)
                    elif shape == _MANY:
                        values[result] = function(t, *[values[i] for i in a])
                    else:
                        for number, part in zip(result, function(t, *[values[i] for i in a]),
                                                strict=True):  # fmt: skip
                            values[number] = part
                if steps is not None:
                    _record(steps, code, values, fuel)
                if fuel < 0:
                    return OutOfFuel()
                terminator = code.terminator
                if terminator == _JUMP:
                    edge = code.edges[0]
                elif terminator == _BRIF:
                    edge = code.edges[0 if values[code.operands] else 1]
                elif terminator == _RETURN:
                    after = memory if state is None else bytes(state.data)
                    return Returned(tuple([values[i] for i in code.operands]), after)
                elif terminator == _BR_TABLE:
                    case = values[code.operands] + 1
                    edge = code.edges[case if case < len(code.edges) else 0]
                else:
                    index = code.cost - 1
                    raise Trap(code.operands)
                target, params, args = edge
                if len(params) == 1:
                    values[params[0]] = values[args[0]]
                elif params:
                    moved = [values[i] for i in args]
                    for param, value in zip(params, moved, strict=True):
                        values[param] = value
                code = blocks[target]
        except Trap as trap:
            if steps is not None and index < code.cost - 1:
                _record(steps, code, values, index - code.cost)
                steps.append((code.id, index, ()))
            after = memory if state is None else bytes(state.data)
            return Trapped(trap.code, after, (code.id, index))


def _record(steps: list[Step], code: _Code, values: _Values, fuel: int) -> None:
    """Add a block's executed instructions; SSA keeps their results until the block is run again.

    ``fuel``: negative by as many instructions as were not executed.
    """
    executed = code.insts if fuel >= 0 else code.insts[: max(0, code.cost + fuel)]
    for index, results in enumerate(executed):
        steps.append((code.id, index, tuple([values[i] for i in results])))


def prepare(function: Function, byte_order: str = "little") -> Program:
    """Translate a valid function. ``byte_order``: that of accesses whose flags name none.

    Unsupported if it uses what has no meaning here.
    """
    return _Translator(function, byte_order).translate()


def evaluate(case: Case, index: int) -> Outcome:
    """What a case comes to on its input ``index``."""
    return prepare(case.function).run(case.inputs[index], case.memory)


def outcomes_of(case: Case) -> list[Outcome]:
    """What a case comes to on each of its inputs."""
    program = prepare(case.function)
    return [program.run(values, case.memory) for values in case.inputs]


# -- translation ----------------------------------------------------------------------------------------------


class _Translator:
    """Translates one function; use once."""

    __slots__ = ("byte_order", "code", "function", "index", "initial", "needs_memory", "numbers",
                 "positions", "slots", "types")  # fmt: skip

    def __init__(self, function: Function, byte_order: str) -> None:
        self.function = function
        self.byte_order = byte_order
        self.types: dict[Value, Type] = function.value_types
        self.numbers: dict[Value, int] = {}
        self.initial: _Values = []
        self.positions = {block.id: i for i, block in enumerate(function.blocks)}
        self.slots = {slot: i for i, slot in enumerate(function.stack_slots)}
        self.needs_memory = bool(self.slots)
        self.code = _Code(function.blocks[0])
        self.index = 0

    def translate(self) -> Program:
        function, numbers = self.function, self.numbers
        for block in function.blocks:
            for value in block.params:
                numbers[value] = len(numbers)
            for inst in block.insts:
                for value in inst.results:
                    numbers[value] = len(numbers)
        self.initial = [0] * len(numbers)
        codes = [self._block(block) for block in function.blocks]
        self._check_types()
        sizes = tuple([slot.size for slot in function.stack_slots.values()])
        parameters = len(function.blocks[0].params)
        return Program(codes, self.initial, parameters, sizes, self.needs_memory)

    def _check_types(self) -> None:
        types = self.types
        for type_ in {types[value] for value in self.numbers}:
            if not type_.is_int:
                raise Unsupported(f"type {type_}")

    def _block(self, block: Block) -> _Code:
        code = self.code = _Code(block)
        numbers, rows = self.numbers, code.rows
        for index, inst in enumerate(block.insts):
            op = inst.op
            code.insts.append(tuple([numbers[v] for v in inst.results]))
            meaning = _PLAIN.get(op)
            if meaning is not None:
                args = inst.args
                if len(inst.results) != 1:
                    dense = tuple([numbers[v] for v in args])
                    rows.append((_SEVERAL, meaning, code.insts[-1], inst.type, dense, 0, index))
                elif len(args) == 2:
                    rows.append((_BINARY, meaning, numbers[inst.results[0]], inst.type,
                                 numbers[args[0]], numbers[args[1]], index))  # fmt: skip
                elif len(args) == 1:
                    rows.append((_UNARY, meaning, numbers[inst.results[0]], inst.type,
                                 numbers[args[0]], 0, index))  # fmt: skip
                else:
                    dense = tuple([numbers[v] for v in args])
                    rows.append((_MANY, meaning, numbers[inst.results[0]], inst.type, dense, 0,
                                 index))  # fmt: skip
                continue
            special = _SPECIAL.get(op)
            if special is None:
                raise Unsupported(op.name)
            self.index = index
            special(self, inst)
        return code

    # -- pieces --------------------------------------------------------------------------------------------------

    def constant(self, bits: int) -> int:
        """The number of a value that is ``bits`` from the start."""
        self.initial.append(bits)
        return len(self.initial) - 1

    def add(
        self, shape: int, function: Callable[..., Any], inst: Inst, t: Any, a: Any = 0, b: int = 0
    ) -> None:
        result = self.numbers[inst.results[0]] if inst.results else 0
        self.code.rows.append((shape, function, result, t, a, b, self.index))

    def effect(self, function: _Effect) -> None:
        self.code.rows.append((_EFFECT, function, 0, None, 0, 0, self.index))

    def operands(self, inst: Inst) -> list[int]:
        numbers = self.numbers
        return [numbers[v] for v in inst.args]

    def type_of(self, inst: Inst) -> Type:
        """T, for an opcode that has one."""
        if inst.type is None or not inst.type.is_int:
            raise Unsupported(f"{inst.op.name}.{inst.type}")
        return inst.type

    def access(self, inst: Inst) -> tuple[int, int]:
        """(number of the address operand, offset) of a memory or slot access."""
        self.needs_memory = True
        if "addr" in inst.op.operands:
            position = inst.op.operands.index("addr")
            return self.numbers[inst.args[position]], inst.imm
        return self.constant(slot_address(self.slots[inst.ref])), inst.imm

    def order(self, inst: Inst) -> Any:
        return inst.flags.endian or self.byte_order

    def edge(self, call: BlockCall) -> _Edge:
        position, numbers = self.positions[call.block], self.numbers
        params = self.function.blocks[position].params
        return (position, tuple([numbers[v] for v in params]),
                tuple([numbers[v] for v in call.args]))  # fmt: skip

    # -- opcodes ---------------------------------------------------------------------------------------------------

    def iconst(self, inst: Inst) -> None:
        self.initial[self.numbers[inst.results[0]]] = inst.imm

    def stack_addr(self, inst: Inst) -> None:
        if inst.type is not I64:
            raise Unsupported(f"stack_addr.{inst.type}")
        address = slot_address(self.slots[inst.ref]) + inst.imm
        self.initial[self.numbers[inst.results[0]]] = address & ADDRESS_MASK

    def nothing(self, inst: Inst) -> None:
        pass

    def icmp(self, inst: Inst) -> None:
        a, b = self.operands(inst)
        self.add(_BINARY, semantics.INT_CONDITIONS[inst.keyword], inst, inst.type, a, b)

    def icmp_imm(self, inst: Inst) -> None:
        t = self.type_of(inst)
        right = self.constant(signed(I64, inst.imm) & t.mask)
        condition = semantics.INT_CONDITIONS[inst.keyword]
        self.add(_BINARY, condition, inst, t, self.operands(inst)[0], right)

    def immediate_form(self, inst: Inst) -> None:
        t = self.type_of(inst)
        name, sign_extended, reversed_ = semantics.IMMEDIATE_FORMS[inst.op.name]
        bits = signed(I64, inst.imm) if sign_extended else inst.imm
        left, right = self.operands(inst)[0], self.constant(bits & t.mask)
        if reversed_:
            left, right = right, left
        self.add(_BINARY, semantics.MEANINGS[name], inst, t, left, right)

    def conversion(self, inst: Inst) -> None:
        pair = (self.type_of(inst), self.types[inst.args[0]])
        function = semantics.CONVERSIONS[inst.op.name]
        self.add(_UNARY, function, inst, pair, self.operands(inst)[0])

    def load(self, inst: Inst) -> None:
        t = self.type_of(inst)
        size, extended = semantics.LOADS[inst.op.name]
        size = size or t.bytes
        address, offset = self.access(inst)
        order, trap = self.order(inst), inst.flags.trap
        result, mask = self.numbers[inst.results[0]], t.mask
        align = _alignment(inst, size)

        def load(values: _Values, memory: Memory) -> None:
            at = (values[address] + offset) & ADDRESS_MASK
            if at % align:
                raise UndefinedBehaviour(f"a misaligned access at {at:#x}")
            data = memory.load(at, size, trap)
            values[result] = int.from_bytes(data, order, signed=extended) & mask

        self.effect(load)

    def store(self, inst: Inst) -> None:
        size = semantics.STORES[inst.op.name] or self.type_of(inst).bytes
        value = self.operands(inst)[0]
        address, offset = self.access(inst)
        order, trap, mask = self.order(inst), inst.flags.trap, (1 << 8 * size) - 1
        align = _alignment(inst, size)

        def store(values: _Values, memory: Memory) -> None:
            at = (values[address] + offset) & ADDRESS_MASK
            if at % align:
                raise UndefinedBehaviour(f"a misaligned access at {at:#x}")
            memory.store(at, (values[value] & mask).to_bytes(size, order), trap)

        self.effect(store)

    def atomic_rmw(self, inst: Inst) -> None:
        t = self.type_of(inst)
        update = semantics.ATOMIC_UPDATES[inst.keyword]
        operand = self.operands(inst)[1]
        self._exchange(inst, t, lambda values, old: update(t, old, values[operand]))

    def atomic_cas(self, inst: Inst) -> None:
        t = self.type_of(inst)
        _, expected, new = self.operands(inst)
        self._exchange(
            inst, t, lambda values, old: values[new] if old == values[expected] else None
        )

    def _exchange(self, inst: Inst, t: Type, update: Callable[[_Values, int], int | None]) -> None:
        """Read, compute what to write (None: nothing), write; the result is what was read."""
        address, _ = self.access(inst)
        order, trap, size = self.order(inst), inst.flags.trap, t.bytes
        result = self.numbers[inst.results[0]]

        def exchange(values: _Values, memory: Memory) -> None:
            at = values[address]
            if at % size:
                raise UndefinedBehaviour(f"a misaligned atomic access at {at:#x}")
            old = int.from_bytes(memory.load(at, size, trap), order)
            new = update(values, old)
            if new is not None:
                memory.store(at, new.to_bytes(size, order), trap)
            values[result] = old

        self.effect(exchange)

    def trapz(self, inst: Inst) -> None:
        (condition,), code = self.operands(inst), inst.keyword

        def trapz(values: _Values, _: Memory) -> None:
            if not values[condition]:
                raise Trap(code)

        self.effect(trapz)

    def trapnz(self, inst: Inst) -> None:
        (condition,), code = self.operands(inst), inst.keyword

        def trapnz(values: _Values, _: Memory) -> None:
            if values[condition]:
                raise Trap(code)

        self.effect(trapnz)

    def uadd_overflow_trap(self, inst: Inst) -> None:
        (x, y), code, mask = self.operands(inst), inst.keyword, self.type_of(inst).mask
        result = self.numbers[inst.results[0]]

        def uadd_overflow_trap(values: _Values, _: Memory) -> None:
            total = values[x] + values[y]
            if total > mask:
                raise Trap(code)
            values[result] = total

        self.effect(uadd_overflow_trap)

    def jump(self, inst: Inst) -> None:
        self._end(inst, _JUMP, ())

    def brif(self, inst: Inst) -> None:
        self._end(inst, _BRIF, self.operands(inst)[0])

    def br_table(self, inst: Inst) -> None:
        self._end(inst, _BR_TABLE, self.operands(inst)[0])

    def return_(self, inst: Inst) -> None:
        self._end(inst, _RETURN, tuple(self.operands(inst)))

    def trap(self, inst: Inst) -> None:
        self._end(inst, _TRAP, inst.keyword)

    def _end(self, inst: Inst, terminator: int, operands: Any) -> None:
        code = self.code
        code.terminator = terminator
        code.operands = operands
        code.edges = [self.edge(call) for call in inst.targets]


def _alignment(inst: Inst, size: int) -> int:
    """What the address has to be a multiple of, else the behaviour is undefined."""
    return size if inst.flags.aligned or inst.op.name.startswith("atomic") else 1


_PLAIN: Final[dict[Opcode, Callable[..., Any]]] = {
    opcode_named(name): function for name, function in semantics.MEANINGS.items()
}

_SPECIAL: Final[dict[Opcode, Callable[[_Translator, Inst], None]]] = {
    opcode_named(name): function
    for names, function in (
        (semantics.LOADS, _Translator.load),
        (semantics.STORES, _Translator.store),
        (semantics.IMMEDIATE_FORMS, _Translator.immediate_form),
        (semantics.CONVERSIONS, _Translator.conversion),
        (("fence", "nop", "sequence_point"), _Translator.nothing),
    )
    for name in names
} | {
    opcode_named(name): getattr(_Translator, "return_" if name == "return" else name)
    for name in semantics.ELSEWHERE - {"fence", "nop", "sequence_point"}
}

if {op.name for op in (*_PLAIN, *_SPECIAL)} != semantics.SUPPORTED:
    raise ValueError("the interpreter does not run exactly what semantics.py claims")
