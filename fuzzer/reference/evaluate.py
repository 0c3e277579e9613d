"""The reference interpreter: what running a function *has to* come to.

A function is translated once (:func:`prepare`) and run on many inputs (:mod:`fuzzer.reference.program`).
What has no meaning here (floats, vectors, calls, the environment) raises ``Unsupported`` when the
function is prepared, never in a run. The function has to be valid (:mod:`backend.ir.verifier`).
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import Any, Final

from backend.errors import Unsupported
from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from backend.ir.opcodes import Opcode, opcode_named
from backend.ir.types import I64, Type
from fuzzer.case import Case
from fuzzer.outcome import Outcome
from fuzzer.reference import semantics
from fuzzer.reference.memory import (
    ADDRESS_MASK,
    Memory,
    Trap,
    UndefinedBehaviour,
    slot_address,
)
from fuzzer.reference.program import (
    BINARY,
    BR_TABLE,
    BRIF,
    EFFECT,
    JUMP,
    MANY,
    RETURN,
    SEVERAL,
    TRAP,
    UNARY,
    BlockCode,
    Edge,
    Effect,
    Program,
    Values,
)
from fuzzer.reference.semantics import signed


def prepare(function: Function, byte_order: str = "little", *, lean: bool = False) -> Program:
    """Translate a valid function. ``byte_order``: that of accesses whose flags name none. ``lean``: leave out what
    no outcome can depend on; of a trace the values of such instructions are not to be asked.

    Unsupported if it uses what has no meaning here.
    """
    return _Translator(function, byte_order, _idle(function) if lean else frozenset()).translate()


def _idle(function: Function) -> AbstractSet[Value]:
    """Results of instructions without effects that nothing uses, or only other such instructions."""
    needed: set[Value] = set()
    idle: set[Value] = set()
    for block in reversed(function.blocks):
        for inst in reversed(block.insts):
            results = inst.results
            if needed.isdisjoint(results) and not inst.op.side_effects:
                idle.update(results)
                continue
            needed.update(inst.args)
            for call in inst.targets:
                needed.update(call.args)
    # A use may stand before its definition in the text, when blocks are not in order of dominance.
    return idle if idle.isdisjoint(needed) else frozenset()


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

    __slots__ = ("byte_order", "code", "function", "idle", "index", "initial", "needs_memory", "numbers",
                 "positions", "slots", "types")  # fmt: skip

    def __init__(self, function: Function, byte_order: str, idle: AbstractSet[Value]) -> None:
        self.function = function
        self.idle = idle
        self.byte_order = byte_order
        self.types: dict[Value, Type] = function.value_types
        self.numbers: dict[Value, int] = {}
        self.initial: Values = []
        self.positions = {block.id: i for i, block in enumerate(function.blocks)}
        self.slots = {slot: i for i, slot in enumerate(function.stack_slots)}
        self.needs_memory = bool(self.slots)
        self.code = BlockCode(function.blocks[0])
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

    def _block(self, block: Block) -> BlockCode:
        code = self.code = BlockCode(block)
        numbers, rows, idle = self.numbers, code.rows, self.idle
        for index, inst in enumerate(block.insts):
            op = inst.op
            results = inst.results
            code.insts.append(tuple([numbers[v] for v in results]))
            meaning = _PLAIN.get(op)
            left_out = bool(results) and results[0] in idle
            if meaning is not None:
                if left_out:
                    continue
                args = inst.args
                if len(results) != 1:
                    dense = tuple([numbers[v] for v in args])
                    rows.append((SEVERAL, meaning, code.insts[-1], inst.type, dense, 0, index))
                elif len(args) == 2:
                    rows.append((BINARY, meaning, numbers[inst.results[0]], inst.type,
                                 numbers[args[0]], numbers[args[1]], index))  # fmt: skip
                elif len(args) == 1:
                    rows.append((UNARY, meaning, numbers[inst.results[0]], inst.type,
                                 numbers[args[0]], 0, index))  # fmt: skip
                else:
                    dense = tuple([numbers[v] for v in args])
                    rows.append((MANY, meaning, numbers[inst.results[0]], inst.type, dense, 0,
                                 index))  # fmt: skip
                continue
            special = _SPECIAL.get(op)
            if special is None:
                raise Unsupported(op.name)
            self.index = index
            before = len(rows)
            special(self, inst)  # also of what is left out: it may be unsupported
            if left_out:
                del rows[before:]
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

    def effect(self, function: Effect) -> None:
        self.code.rows.append((EFFECT, function, 0, None, 0, 0, self.index))

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

    def edge(self, call: BlockCall) -> Edge:
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
        self.add(BINARY, semantics.INT_CONDITIONS[inst.keyword], inst, inst.type, a, b)

    def icmp_imm(self, inst: Inst) -> None:
        t = self.type_of(inst)
        right = self.constant(signed(I64, inst.imm) & t.mask)
        condition = semantics.INT_CONDITIONS[inst.keyword]
        self.add(BINARY, condition, inst, t, self.operands(inst)[0], right)

    def immediate_form(self, inst: Inst) -> None:
        t = self.type_of(inst)
        name, sign_extended, reversed_ = semantics.IMMEDIATE_FORMS[inst.op.name]
        bits = signed(I64, inst.imm) if sign_extended else inst.imm
        left, right = self.operands(inst)[0], self.constant(bits & t.mask)
        if reversed_:
            left, right = right, left
        self.add(BINARY, semantics.MEANINGS[name], inst, t, left, right)

    def conversion(self, inst: Inst) -> None:
        pair = (self.type_of(inst), self.types[inst.args[0]])
        function = semantics.CONVERSIONS[inst.op.name]
        self.add(UNARY, function, inst, pair, self.operands(inst)[0])

    def load(self, inst: Inst) -> None:
        t = self.type_of(inst)
        size, extended = semantics.LOADS[inst.op.name]
        size = size or t.bytes
        address, offset = self.access(inst)
        order, trap = self.order(inst), inst.flags.trap
        result, mask = self.numbers[inst.results[0]], t.mask
        align = _alignment(inst, size)

        def load(values: Values, memory: Memory) -> None:
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

        def store(values: Values, memory: Memory) -> None:
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

    def _exchange(self, inst: Inst, t: Type, update: Callable[[Values, int], int | None]) -> None:
        """Read, compute what to write (None: nothing), write; the result is what was read."""
        address, _ = self.access(inst)
        order, trap, size = self.order(inst), inst.flags.trap, t.bytes
        result = self.numbers[inst.results[0]]

        def exchange(values: Values, memory: Memory) -> None:
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

        def trapz(values: Values, _: Memory) -> None:
            if not values[condition]:
                raise Trap(code)

        self.effect(trapz)

    def trapnz(self, inst: Inst) -> None:
        (condition,), code = self.operands(inst), inst.keyword

        def trapnz(values: Values, _: Memory) -> None:
            if values[condition]:
                raise Trap(code)

        self.effect(trapnz)

    def uadd_overflow_trap(self, inst: Inst) -> None:
        (x, y), code, mask = self.operands(inst), inst.keyword, self.type_of(inst).mask
        result = self.numbers[inst.results[0]]

        def uadd_overflow_trap(values: Values, _: Memory) -> None:
            total = values[x] + values[y]
            if total > mask:
                raise Trap(code)
            values[result] = total

        self.effect(uadd_overflow_trap)

    def jump(self, inst: Inst) -> None:
        self._end(inst, JUMP, ())

    def brif(self, inst: Inst) -> None:
        self._end(inst, BRIF, self.operands(inst)[0])

    def br_table(self, inst: Inst) -> None:
        self._end(inst, BR_TABLE, self.operands(inst)[0])

    def return_(self, inst: Inst) -> None:
        self._end(inst, RETURN, tuple(self.operands(inst)))

    def trap(self, inst: Inst) -> None:
        self._end(inst, TRAP, inst.keyword)

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
