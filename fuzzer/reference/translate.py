"""One function to a program: its values numbered, its instructions rows of :mod:`fuzzer.reference.program`.

Where values may have bits that are left open (:mod:`fuzzer.reference.open_bits`), the rows' functions are made to
take them; a program without floats pays nothing for that.

What has no meaning here (vectors, the environment) raises ``Unsupported`` when the function is translated,
never in a run.
"""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final

from backend.errors import Unsupported
from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from backend.ir.opcodes import Opcode, opcode_named
from backend.ir.types import I64, Type
from fuzzer.reference import meanings, semantics, translate_calls
from fuzzer.reference.float_semantics import FLOAT_CONSTANTS
from fuzzer.reference.memory import (
    ADDRESS_MASK,
    Memory,
    Trap,
    UndefinedBehaviour,
    slot_address,
)
from fuzzer.reference.open_bits import Undetermined, canonical, lifted, made, parts
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

if TYPE_CHECKING:
    from fuzzer.reference.linker import Linker

_ICONST: Final = opcode_named("iconst")
"""A third of all instructions, so :meth:`Translator._block` does it itself."""


class Translator:
    """Translates one function; use once."""

    __slots__ = ("byte_order", "canonical", "code", "function", "idle", "index", "initial", "lifted", "linker",
                 "needs_memory", "numbers", "positions", "program", "slot_numbers", "slots", "types")  # fmt: skip

    def __init__(
        self, function: Function, program: Program, linker: Linker, idle: AbstractSet[Value]
    ) -> None:
        self.function = function
        self.program = program
        self.linker = linker
        self.idle = idle
        self.byte_order = linker.byte_order
        self.lifted = linker.open_bits
        self.canonical = linker.canonical_nans
        self.types: dict[Value, Type] = function.value_types
        self.numbers: dict[Value, int] = {}
        self.initial: Values = []
        self.slot_numbers: list[int] = []
        self.positions = {block.id: i for i, block in enumerate(function.blocks)}
        self.slots = {slot: i for i, slot in enumerate(function.stack_slots)}
        self.needs_memory = bool(self.slots)
        self.code = BlockCode(0, 0)
        self.index = 0

    def translate(self) -> None:
        """Fill the program."""
        function, numbers, program = self.function, self.numbers, self.program
        for param in (*function.signature.params, *function.signature.returns):
            if param.purpose[:4] == "sarg":
                raise Unsupported("a parameter passed in memory (sarg)")
        defined: list[Value] = []
        for block in function.blocks:
            defined += block.params
            for inst in block.insts:
                defined += inst.results
        numbers.update(zip(defined, range(len(defined)), strict=True))
        self.initial = [0] * len(defined)
        program.blocks = [self._block(block) for block in function.blocks]
        self._check_types()
        program.initial = self.initial
        program.slot_sizes = tuple([slot.size for slot in function.stack_slots.values()])
        program.slot_numbers = self.slot_numbers
        program.needs_memory = self.needs_memory
        program.numbers = numbers
        program.lifted = self.lifted

    def _check_types(self) -> None:
        for type_ in set(map(self.types.__getitem__, self.numbers)):
            if type_.lanes != 1:
                raise Unsupported(f"type {type_}")

    def _block(self, block: Block) -> BlockCode:
        whole = code = self.code = BlockCode(block.id, len(block.insts))
        code.insts = block.insts
        numbers, initial, rows, idle = self.numbers, self.initial, code.rows, self.idle
        plain = meanings.MEANINGS
        changed = self.lifted or self.canonical
        for index, inst in enumerate(block.insts):
            op = inst.op
            results = inst.results
            if op is _ICONST:
                initial[numbers[results[0]]] = inst.imm
                continue
            meaning = plain.get(op)
            left_out = bool(results) and results[0] in idle
            if meaning is not None:
                if left_out:
                    continue
                if changed:
                    meaning = self.adapted(inst, meaning)
                args = inst.args
                if len(results) != 1:
                    dense = tuple([numbers[v] for v in args])
                    made = tuple([numbers[v] for v in results])
                    rows.append((SEVERAL, meaning, made, inst.type, dense, 0, index))
                elif len(args) == 2:
                    rows.append((BINARY, meaning, numbers[results[0]], inst.type,
                                      numbers[args[0]], numbers[args[1]], index))  # fmt: skip
                elif len(args) == 1:
                    rows.append((UNARY, meaning, numbers[results[0]], inst.type,
                                      numbers[args[0]], 0, index))  # fmt: skip
                else:
                    dense = tuple([numbers[v] for v in args])
                    rows.append((MANY, meaning, numbers[results[0]], inst.type, dense, 0, index))
                continue
            special = _SPECIAL.get(op)
            if special is None:
                raise Unsupported(op.name)
            self.index = index
            before = len(rows)
            special(self, inst)  # also of what is left out: it may be unsupported
            if left_out:
                del rows[before:]
            if code is not self.code:  # a call begins another part
                code = self.code
                rows = code.rows
        return whole

    def adapted(self, inst: Inst, meaning: Callable[..., Any]) -> Callable[..., Any]:
        """The meaning, made to take values with open bits, or to give canonical NaNs."""
        if self.canonical:
            meaning = canonical(inst.op, meaning)
        if not self.lifted:
            return meaning
        return lifted(inst.op, meaning, tuple([self.types[v].mask for v in inst.results]))

    # -- pieces --------------------------------------------------------------------------------------------------

    def constant(self, bits: int) -> int:
        """The number of a value of no name that is ``bits`` from the start."""
        self.initial.append(bits)
        return len(self.initial) - 1

    def add(
        self, shape: int, function: Callable[..., Any], inst: Inst, t: Any, a: Any = 0, b: int = 0
    ) -> None:
        if self.lifted or self.canonical:
            function = self.adapted(inst, function)
        result = self.numbers[inst.results[0]]
        self.code.rows.append((shape, function, result, t, a, b, self.index))

    def effect(self, function: Effect) -> None:
        self.code.rows.append((EFFECT, function, 0, None, 0, 0, self.index))

    def operands(self, inst: Inst) -> list[int]:
        numbers = self.numbers
        return [numbers[v] for v in inst.args]

    def type_of(self, inst: Inst) -> Type:
        """T, for an opcode that has one."""
        if inst.type is None or inst.type.lanes != 1:
            raise Unsupported(f"{inst.op.name}.{inst.type}")
        return inst.type

    def access(self, inst: Inst) -> tuple[int, int]:
        """(number of the address operand, offset) of a memory or slot access."""
        self.needs_memory = True
        if "addr" in inst.op.operands:
            position = inst.op.operands.index("addr")
            return self.numbers[inst.args[position]], inst.imm
        address = self.constant(slot_address(self.slots[inst.ref]))
        self.slot_numbers.append(address)
        return address, inst.imm

    def order(self, inst: Inst) -> Any:
        return inst.flags.endian or self.byte_order

    def edge(self, call: BlockCall) -> Edge:
        position, numbers = self.positions[call.block], self.numbers
        params = self.function.blocks[position].params
        return (position, tuple([numbers[v] for v in params]),
                tuple([numbers[v] for v in call.args]))  # fmt: skip

    # -- opcodes ---------------------------------------------------------------------------------------------------

    def float_const(self, inst: Inst) -> None:
        bits = inst.imm
        if inst.ref >= 0:
            bits = int.from_bytes(self.function.constants[inst.ref], "little")
        self.initial[self.numbers[inst.results[0]]] = bits

    def stack_addr(self, inst: Inst) -> None:
        if inst.type is not I64:
            raise Unsupported(f"stack_addr.{inst.type}")
        address = slot_address(self.slots[inst.ref]) + inst.imm
        self.initial[self.numbers[inst.results[0]]] = address & ADDRESS_MASK
        self.slot_numbers.append(self.numbers[inst.results[0]])

    def nothing(self, inst: Inst) -> None:
        pass

    def compare(self, inst: Inst) -> None:
        a, b = self.operands(inst)
        condition = meanings.CONDITIONS[inst.op.name][inst.keyword]
        self.add(BINARY, condition, inst, inst.type, a, b)

    def icmp_imm(self, inst: Inst) -> None:
        t = self.type_of(inst)
        right = self.constant(signed(I64, inst.imm) & t.mask)
        condition = meanings.CONDITIONS["icmp_imm"][inst.keyword]
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
        function = meanings.CONVERSIONS[inst.op.name]
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
            if memory.open and (marks := memory.marks(at, size)):
                open_ = int.from_bytes(marks, order, signed=extended) & mask
                values[result] = made(values[result], open_)

        self.effect(load)
        if inst.flags.readonly:
            self.effect(
                lambda values, memory: memory.promise(values[address] + offset & ADDRESS_MASK, size)
            )

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

        def store_open(values: Values, memory: Memory) -> None:
            at = (values[address] + offset) & ADDRESS_MASK
            if at % align:
                raise UndefinedBehaviour(f"a misaligned access at {at:#x}")
            bits, open_ = parts(values[value])
            memory.store(at, (bits & mask).to_bytes(size, order), trap)
            memory.mark(at, (open_ & mask).to_bytes(size, order))

        self.effect(store_open if self.lifted else store)

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
            if memory.open and memory.marks(at, size):
                raise Undetermined("an atomic update of bits that are open")
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

    # -- terminators -------------------------------------------------------------------------------------------------

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


_NAMED: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    "icmp": Translator.compare,
    "fcmp": Translator.compare,
    "return": Translator.return_,
    "func_addr": translate_calls.func_addr,
    "global_value": translate_calls.global_value,
    "symbol_value": translate_calls.global_value,
    **dict.fromkeys(
        ("call", "call_indirect", "return_call", "return_call_indirect"), translate_calls.call
    ),
}
"""Opcodes whose function has another name, or is in another file."""

_SPECIAL: Final[dict[Opcode, Callable[[Translator, Inst], None]]] = {
    opcode_named(name): function
    for names, function in (
        (semantics.LOADS, Translator.load),
        (semantics.STORES, Translator.store),
        (semantics.IMMEDIATE_FORMS, Translator.immediate_form),
        (meanings.CONVERSIONS, Translator.conversion),
        (FLOAT_CONSTANTS, Translator.float_const),
        (meanings.NOTHING, Translator.nothing),
    )
    for name in names
} | {
    opcode_named(name): _NAMED[name] if name in _NAMED else getattr(Translator, name)
    for name in meanings.ELSEWHERE - {_ICONST.name, *meanings.NOTHING, *FLOAT_CONSTANTS}
}

if {op.name for op in (*meanings.MEANINGS, *_SPECIAL, _ICONST)} != meanings.SUPPORTED:
    raise ValueError("the interpreter does not run exactly what meanings.py claims")
