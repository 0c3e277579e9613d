"""CLIF said in the intermediate language of ppci, call by call of its constructors.

Values are of ppci's signed types; what treats them as unsigned casts first. A condition is a pair of blocks, so that
comparisons and selects make a number. While known faults are left out (``careful``), some things are said in a longer
way: see :mod:`fuzzer.targets.ppci_faults`.
"""

from __future__ import annotations

import math
import struct
from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from ppci import api, ir

from backend.errors import Unsupported
from backend.ir.cfg import ControlFlow
from backend.ir.entities import AbiParam, BlockCall, Function, Inst, Value
from backend.ir.opcodes import Opcode
from backend.ir.rules import callee_signature
from backend.ir.types import F32, F64, I8, I16, I32, I64, Type

ISA: Final = "x86_64"
_TYPES: Final = {I8: ir.i8, I16: ir.i16, I32: ir.i32, I64: ir.i64, F32: ir.f32, F64: ir.f64}
_UNSIGNED: Final = {I8: ir.u8, I16: ir.u16, I32: ir.u32, I64: ir.u64}
_NAMES: Final = {"+": "ADD", "-": "SUB", "*": "MUL", "&": "AND", "|": "OR", "^": "XOR", "<<": "SHL", ">>": "SHR",
                 "/": "DIV"}  # fmt: skip
_BINARY: Final = {"iadd": "+", "isub": "-", "imul": "*", "band": "&", "bor": "|", "bxor": "^",
                  "fadd": "+", "fsub": "-", "fmul": "*", "fdiv": "/"}  # fmt: skip
_SHIFTS: Final = {"ishl": ("<<", False), "sshr": (">>", False), "ushr": (">>", True)}
"""Opcode to ppci's, and whether of unsigned numbers."""
_UNARY: Final = {"ineg": ("-", "NEG"), "bnot": ("~", "INV"), "fneg": ("-", "NEG")}
_CASTS: Final = {"uextend": True, "sextend": False, "ireduce": False, "fpromote": False, "fdemote": False,
                 "fcvt_from_sint": False, "fcvt_from_uint": True}  # fmt: skip
"""Is the operand taken as unsigned?"""
_CONDITIONS: Final = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_PLAIN: Final = frozenset({"iconst", "f32const", "f64const", "icmp", "select", "jump", "brif", "return", "load",
                           "store", "stack_addr", "call", "nop"})  # fmt: skip


@cache
def _patterns() -> frozenset[str]:
    """The operations that ppci has instructions for, by its names: ``MULI32``, ``U8TOI64``."""
    return frozenset(pattern.tree.name for pattern in api.get_arch(ISA).isa.patterns)


def is_built(op: Opcode, type_: Type | None, second: Type | None) -> bool:
    """Has ppci ``op`` with T = ``type_`` and S = ``second``?"""
    name, made = op.name, _TYPES.get(type_) if type_ else None
    if (type_ is not None and made is None) or (second is not None and second not in _TYPES):
        return False
    if name in _PLAIN:
        return name != "stack_addr" or type_ is I64
    if name in _BINARY:
        return f"{_NAMES[_BINARY[name]]}{made}".upper() in _patterns()
    if name in _SHIFTS and type_ is not None:
        return f"{_NAMES[_SHIFTS[name][0]]}{_UNSIGNED[type_]}".upper() in _patterns()
    if name in _UNARY:
        return f"{_UNARY[name][1]}{made}".upper() in _patterns()
    if name in _CASTS and second is not None:
        return f"{(_UNSIGNED if _CASTS[name] else _TYPES)[second]}to{made}".upper() in _patterns()
    return False


def _passed(param: AbiParam) -> Type:
    """The type that is passed for a parameter: ppci knows nothing of extension."""
    if param.purpose or param.type not in _TYPES:
        raise Unsupported(f"a parameter {param.purpose} of type {param.type}")
    return I64 if param.extension and param.type.bits < 64 else param.type


def declared(module: Any, name: str, function: Function) -> Any:
    signature = function.signature
    if signature.callconv not in ("", "system_v") or len(signature.returns) > 1:
        raise Unsupported(f"a function {signature.callconv} with {len(signature.returns)} results")
    if signature.returns:
        type_ = _TYPES[_passed(signature.returns[0])]
        made = ir.Function(name, ir.Binding.GLOBAL, type_)
    else:
        made = ir.Procedure(name, ir.Binding.GLOBAL)
    module.add_function(made)
    return made


class Names:
    """What all functions of a module share. ``functions``: ppci's by CLIF's names; ``careful``: are known faults built
    around (:mod:`fuzzer.targets.ppci_faults`)?"""

    def __init__(self, module: Any, functions: dict[str, Any], *, careful: bool) -> None:
        self.module = module
        self.careful = careful
        self.functions = functions
        self.count = 0

    def new(self) -> str:
        self.count += 1
        return f"n{self.count}"


class Builder:
    """Builds one function. Use once."""

    def __init__(self, names: Names, function: Function, made: Any) -> None:
        self.names = names
        self.function = function
        self.made = made
        self.values: dict[Value, Any] = {}
        order = ControlFlow(function).order
        self.blocks = {function.blocks[n].id: self._block() for n in order}
        self.reached = [function.blocks[n] for n in order]
        self.places = {block.id: n for n, block in enumerate(function.blocks)}
        self.phis: dict[int, list[Any]] = {}
        self.slots: dict[int, Any] = {}
        self.here: Any = None
        self.scratch: Any = None

    def _block(self) -> Any:
        block = ir.Block(self.names.new())
        self.made.add_block(block)
        return block

    def add(self, kind: Any, *operands: Any) -> Any:
        """A new value of ``kind`` at the end of the block that is being built; its type is the last operand."""
        *most, type_ = operands
        return self.put(kind(*most, self.names.new(), type_))

    def put(self, inst: Any) -> Any:
        self.here.add_instruction(inst)
        return inst

    def fill(self) -> None:
        """Let the block not be empty, whatever passes remove."""
        if self.names.careful:
            nought = self.add(ir.Const, 0, ir.i64)
            self.put(ir.Store(nought, self.scratch, volatile=True))

    def other(self, value: Any) -> Any:
        """The same number in another value."""
        unsigned = next((u for t, u in _UNSIGNED.items() if _TYPES[t] is value.ty), None)
        if unsigned is None or not self.names.careful:
            return value
        return self.cast(self.cast(value, unsigned), value.ty)

    def cast(self, value: Any, type_: Any) -> Any:
        return value if value.ty is type_ else self.add(ir.Cast, value, type_)

    def build(self) -> None:
        entry = self.function.entry
        self.made.entry = self.here = self.blocks[entry.id]
        room = self.put(ir.Alloc(self.names.new(), 8, 8))
        self.scratch = self.put(ir.AddressOf(room, self.names.new()))
        for value, param in zip(entry.params, self.function.signature.params, strict=True):
            given = ir.Parameter(self.names.new(), _TYPES[_passed(param)])
            self.made.add_parameter(given)
            self.values[value] = self.cast(given, _TYPES[param.type])
        for number, slot in self.function.stack_slots.items():
            room = self.put(ir.Alloc(self.names.new(), max(slot.size, 1), max(slot.align, 1)))
            self.slots[number] = self.put(ir.AddressOf(room, self.names.new()))
        ways = Counter(call.block for block in self.reached for call in block.insts[-1].targets)
        for block in self.reached[1:]:
            if self.names.careful and ways[block.id] == 1:
                continue
            self.here = self.blocks[block.id]
            types = (self.function.value_types[value] for value in block.params)
            self.phis[block.id] = [self.put(ir.Phi(self.names.new(), _TYPES[t])) for t in types]
            self.values.update(zip(block.params, self.phis[block.id], strict=True))
        for block in self.reached:
            self.here = self.blocks[block.id]
            for inst in block.insts:
                self._build(inst)

    def _build(self, inst: Inst) -> None:
        name = inst.op.name
        result = self.function.value_types[inst.results[0]] if inst.results else None
        args = [self.values[arg] for arg in inst.args]
        kind = _TYPES[result] if result is not None else None
        if name in _BINARY:
            right = self.other(args[1]) if args[0] is args[1] else args[1]
            made = self.add(ir.Binop, args[0], _BINARY[name], right, kind)
        elif name in _SHIFTS and result is not None:
            made = self._shift(name, result, *args)
        elif name in _UNARY:
            made = self.add(ir.Unop, _UNARY[name][0], args[0], kind)
        elif name in _CASTS:
            operand = self.function.value_types[inst.args[0]]
            source = self.cast(args[0], _UNSIGNED[operand]) if _CASTS[name] else args[0]
            made = self.cast(source, kind)
        elif name in _MADE:
            made = _MADE[name](self, inst, args)
        else:
            raise Unsupported(f"opcode {name}")
        if inst.results:
            self.values[inst.results[0]] = made

    def _shift(self, name: str, type_: Type, value: Any, amount: Any) -> Any:
        """ppci shifts by numbers of the same type, and says nothing of more than there are bits."""
        operation, unsigned = _SHIFTS[name]
        bits = next(t for t, theirs in _TYPES.items() if theirs is amount.ty)
        amount = self.cast(self.cast(amount, _UNSIGNED[bits]), _TYPES[type_])
        mask = self.add(ir.Const, type_.bits - 1, _TYPES[type_])
        amount = self.add(ir.Binop, amount, "&", mask, _TYPES[type_])
        kind = _UNSIGNED[type_] if unsigned else _TYPES[type_]
        made = self.add(ir.Binop, self.cast(value, kind), operation, self.cast(amount, kind), kind)
        return self.cast(made, _TYPES[type_])

    def _const(self, inst: Inst, _: list[Any]) -> Any:
        type_ = self.function.value_types[inst.results[0]]
        if type_ is I8 and self.names.careful:
            return self.cast(self.add(ir.Const, inst.imm, ir.u8), ir.i8)
        if type_.is_int:
            return self.add(ir.Const, (inst.imm ^ type_.sign) - type_.sign, _TYPES[type_])
        form = "<f" if type_ is F32 else "<d"
        (number,) = struct.unpack(form, inst.imm.to_bytes(type_.bits // 8, "little"))
        if math.isnan(number):
            raise Unsupported("a constant that is a NaN")
        return self.add(ir.Const, number, _TYPES[type_])

    def _choice(self, left: Any, condition: str, right: Any, one: Any, other: Any) -> Any:
        """``one`` if the condition holds, else ``other``."""
        yes, no, after = self._block(), self._block(), self._block()
        right = self.other(right) if left is right else right
        self.put(ir.CJump(left, condition, right, yes, no))
        made = ir.Phi(self.names.new(), one.ty)
        for block, value in ((yes, one), (no, other)):
            self.here = block
            self.fill()
            self.put(ir.Jump(after))
            made.set_incoming(block, value)
        self.here = after
        return self.put(made)

    def _icmp(self, inst: Inst, args: list[Any]) -> Any:
        type_ = self.function.value_types[inst.args[0]]
        if inst.keyword.startswith("u"):
            args = [self.cast(arg, _UNSIGNED[type_]) for arg in args]
        one, nought = (self.add(ir.Const, n, ir.i8) for n in (1, 0))
        condition = _CONDITIONS[inst.keyword[-2:]]
        return self._choice(args[0], condition, args[1], one, nought)

    def _select(self, inst: Inst, args: list[Any]) -> Any:
        nought = self.add(ir.Const, 0, args[0].ty)
        return self._choice(args[0], "!=", nought, args[1], args[2])

    def _address(self, base: Any, offset: int) -> Any:
        return self.cast(self._moved(base, offset), ir.ptr)

    def _moved(self, base: Any, offset: int) -> Any:
        if not offset:
            return base
        return self.add(ir.Binop, base, "+", self.add(ir.Const, offset, ir.i64), ir.i64)

    def _load(self, inst: Inst, args: list[Any]) -> Any:
        type_ = self.function.value_types[inst.results[0]]
        wanted = inst.flags.trap is not None
        address = self._address(self._plain(inst, args[0]), inst.imm)
        made = self.put(ir.Load(address, self.names.new(), _TYPES[type_], volatile=wanted))
        if wanted and self.names.careful:
            self.put(ir.Store(made, self.scratch, volatile=True))
        return made

    def _store(self, inst: Inst, args: list[Any]) -> Any:
        address = self._address(self._plain(inst, args[1]), inst.imm)
        self.put(ir.Store(args[0], address, volatile=inst.flags.trap is not None))

    @staticmethod
    def _plain(inst: Inst, address: Any) -> Any:
        if inst.flags.endian == "big" or address.ty is not ir.i64:
            raise Unsupported("a byte order, or an address, that is not the machine's")
        return address

    def _stack_addr(self, inst: Inst, _: list[Any]) -> Any:
        return self._moved(self.cast(self.slots[inst.ref], ir.i64), inst.imm)

    def _edge(self, call: BlockCall, always: bool) -> Any:
        """The block to jump to: its own where there are values to hand over, since a phi tells them by the block that
        they come from."""
        target = self.blocks[call.block]
        if call.block == self.function.entry.id:
            raise Unsupported("a jump to the first block")
        before = self.here
        if not always:
            self.here = self._block()
            if call.args:
                self.fill()
            self.put(ir.Jump(target))
        if call.block in self.phis:
            for phi, value in zip(self.phis[call.block], call.args, strict=True):
                phi.set_incoming(self.here, self.values[value])
        else:  # the only way: its values are those that come by it
            params = self.function.blocks[self.places[call.block]].params
            self.values.update(zip(params, map(self.values.__getitem__, call.args), strict=True))
        made, self.here = (self.here, before) if not always else (target, before)
        return made

    def _jump(self, inst: Inst, _: list[Any]) -> None:
        self.put(ir.Jump(self._edge(inst.targets[0], True)))

    def _brif(self, inst: Inst, args: list[Any]) -> None:
        nought = self.add(ir.Const, 0, args[0].ty)
        yes, no = (self._edge(call, False) for call in inst.targets)
        self.put(ir.CJump(args[0], "!=", nought, yes, no))

    def _extended(self, value: Any, param: AbiParam) -> Any:
        if _passed(param) is param.type:
            return value
        if param.extension == "uext":
            value = self.cast(value, _UNSIGNED[param.type])
        return self.cast(value, ir.i64)

    def _return(self, inst: Inst, args: list[Any]) -> None:
        if args:
            self.put(ir.Return(self._extended(args[0], self.function.signature.returns[0])))
        else:
            self.put(ir.Exit())

    def _call(self, inst: Inst, args: list[Any]) -> Any:
        signature = callee_signature(self.function, inst)
        name = self.function.functions[inst.ref].name
        if (
            signature is None
            or signature.callconv not in ("", "system_v")
            or len(signature.returns) > 1
        ):
            raise Unsupported("a call of a function with another convention, or several results")
        passed = [self._extended(a, p) for a, p in zip(args, signature.params, strict=True)]
        callee = self.names.functions.get(name)
        returned = [_TYPES[_passed(param)] for param in signature.returns]
        if callee is None:
            types = [_TYPES[_passed(param)] for param in signature.params]
            kind = ir.ExternalFunction if returned else ir.ExternalProcedure
            callee = self.names.functions[name] = kind(
                f"x{len(self.names.functions)}", types, *returned
            )
            self.names.module.add_external(callee)
        if not returned:
            self.put(ir.ProcedureCall(callee, passed))
            return None
        made = self.put(ir.FunctionCall(callee, passed, self.names.new(), returned[0]))
        return self.cast(made, _TYPES[signature.returns[0].type])


_MADE: Final[dict[str, Callable[[Builder, Inst, list[Any]], Any]]] = {
    **dict.fromkeys(("iconst", "f32const", "f64const"), Builder._const),
    "icmp": Builder._icmp, "select": Builder._select, "load": Builder._load, "store": Builder._store,
    "stack_addr": Builder._stack_addr, "jump": Builder._jump, "brif": Builder._brif,
    "return": Builder._return, "call": Builder._call, "nop": lambda *_: None,
}  # fmt: skip
