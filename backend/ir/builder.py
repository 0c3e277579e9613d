"""A builder of functions for people and tests: values come back as values, types are worked out.

::

    b = FunctionBuilder("%f", [I32], [I32])
    (x,) = b.params
    b.ret(b.ins("iadd", x, b.iconst(I32, 42)))
    function = b.finish()

Driven by the opcode table: there is no method for any opcode but the few whose operands are not just
values. Hot code (the generator, the backend) makes :class:`~backend.ir.entities.Inst` itself.
"""

from __future__ import annotations

from collections.abc import Iterable

from backend.ir.entities import (
    NO_FLAGS,
    AbiParam,
    Block,
    BlockCall,
    Function,
    Inst,
    MemFlags,
    Signature,
    StackSlot,
    Value,
)
from backend.ir.opcodes import opcode_named, resolve
from backend.ir.rules import callee_signature
from backend.ir.types import I64, Type
from backend.ir.verifier import verify

Target = Block | tuple[Block, tuple[Value, ...]]
"""A block, with the arguments it is given if it takes any."""


class FunctionBuilder:
    """Appends to ``current``, at first the entry. ``params`` are the entry's values."""

    def __init__(
        self,
        name: str = "%f",
        params: Iterable[Type] = (),
        returns: Iterable[Type] = (),
        *,
        callconv: str = "",
    ) -> None:
        self.function = Function(
            name,
            Signature(tuple(map(AbiParam, params)), tuple(map(AbiParam, returns)), callconv),
        )
        self.current = self.block(*[param.type for param in self.function.signature.params])

    @property
    def params(self) -> tuple[Value, ...]:
        return tuple(self.function.blocks[0].params)

    def block(self, *types: Type, cold: bool = False) -> Block:
        """A new block with parameters of these types, last in the layout; not switched to."""
        made = Block(len(self.function.blocks), cold=cold)
        made.params = [self.function.new_value(type_) for type_ in types]
        self.function.blocks.append(made)
        return made

    def switch_to(self, block: Block) -> None:
        """Append to ``block`` from now on."""
        self.current = block

    def slot(self, size: int, align: int = 1) -> int:
        """Declare a stack slot of ``size`` bytes; its number."""
        number = len(self.function.stack_slots)
        self.function.stack_slots[number] = StackSlot(size, align)
        return number

    def emit(
        self,
        name: str,
        *args: Value,
        type: Type | None = None,
        imm: int = 0,
        keyword: str = "",
        flags: MemFlags = NO_FLAGS,
        ref: int = -1,
        sig: int = -1,
        targets: tuple[BlockCall, ...] = (),
        data: bytes | None = None,
    ) -> Inst:
        """Append an instruction; T from the controlling operand unless ``type`` says it.

        KeyError for an unknown opcode; ValueError if T is needed and nothing tells it.
        """
        op = opcode_named(name)
        types = self.function.value_types
        if op.polymorphic and type is None:
            if op.control is None:
                raise ValueError(f"{name} needs a type")
            type = types[args[op.control]]
        elif not op.polymorphic and len(op.results) == 1 and op.results[0] != "...":
            type = resolve(op.results[0], None)
        inst = Inst(op, type, args, imm=imm, keyword=keyword, flags=flags, ref=ref, sig=sig,
                    targets=targets, data=data)  # fmt: skip
        inst.results = tuple(self.function.new_value(t) for t in self._result_types(inst))
        self.current.insts.append(inst)
        return inst

    def _result_types(self, inst: Inst) -> list[Type]:
        if inst.op.results != ("...",):
            found = [resolve(term, inst.type) for term in inst.op.results]
            return [type_ for type_ in found if type_ is not None]
        signature = callee_signature(self.function, inst)
        if signature is None:
            raise ValueError(f"{inst.op.name}: the callee is not declared")
        return [param.type for param in signature.returns]

    def ins(
        self,
        name: str,
        *args: Value,
        type: Type | None = None,
        imm: int = 0,
        keyword: str = "",
        flags: MemFlags = NO_FLAGS,
        ref: int = -1,
    ) -> Value:
        """Append an instruction of one result; the result."""
        inst = self.emit(name, *args, type=type, imm=imm, keyword=keyword, flags=flags, ref=ref)
        (result,) = inst.results
        return result

    def iconst(self, type: Type, value: int) -> Value:
        """A constant; ``value`` is taken modulo the type's width, so it may be negative."""
        return self.ins("iconst", type=type, imm=value & type.mask)

    def icmp(self, condition: str, x: Value, y: Value) -> Value:
        return self.ins("icmp", x, y, keyword=condition)

    def load(self, type: Type, address: Value, offset: int = 0) -> Value:
        return self.ins("load", address, type=type, imm=offset)

    def store(self, value: Value, address: Value, offset: int = 0) -> None:
        self.emit("store", value, address, imm=offset)

    def stack_addr(self, slot: int, offset: int = 0) -> Value:
        return self.ins("stack_addr", type=I64, ref=slot, imm=offset)

    def jump(self, block: Block, *args: Value) -> None:
        self.emit("jump", targets=(BlockCall(block.id, args),))

    def brif(self, condition: Value, then: Target, otherwise: Target) -> None:
        self.emit("brif", condition, targets=(_call(then), _call(otherwise)))

    def br_table(self, index: Value, default: Target, *table: Target) -> None:
        self.emit("br_table", index, targets=(_call(default), *map(_call, table)))

    def ret(self, *values: Value) -> None:
        self.emit("return", *values)

    def finish(self) -> Function:
        """The function; VerifyError if it breaks a rule."""
        verify(self.function)
        return self.function


def _call(target: Target) -> BlockCall:
    if isinstance(target, Block):
        return BlockCall(target.id)
    return BlockCall(target[0].id, target[1])
