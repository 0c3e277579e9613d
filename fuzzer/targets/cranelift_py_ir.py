"""CLIF built call by call through ``cranelift-py``: an instruction is a call of the method of its name.

What the bindings lack is said in other instructions. They know functions by the names of Cranelift's run-time library
only, so each function of a case, or from outside, takes one of those that compiled code does not call
(:data:`BORROWED`). Parameters have no extensions: an extended one is an i64. There are no global values: their steps
are an addition and a load each. And they don't export the enumerations of conditions: they are found among Python's
classes, once a call has asked for them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import cranelift

from backend.errors import Unsupported
from backend.ir.cfg import ControlFlow
from backend.ir.entities import AbiParam, BlockCall, Function, Inst, MemFlags, Signature, Value
from backend.ir.global_values import Parameter, chain_of
from backend.ir.opcodes import Opcode
from backend.ir.rules import callee_signature
from backend.ir.types import F32, I64, SCALARS, Type

bindings: Any = cranelift
"""Its own stubs say otherwise than it does of what some methods take and return."""

BORROWED: Final = {
    "Memcpy": "memcpy", "Memset": "memset", "Memmove": "memmove", "Memcmp": "memcmp",
    "Probestack": "__cranelift_probestack", "X86Pshufb": "__cranelift_x86_pshufb",
    "ElfTlsGetAddr": "__tls_get_addr", "ElfTlsGetOffset": "__tls_get_offset",
}  # fmt: skip
"""Names of the run-time library, and the symbols that they become, that scalar code never calls."""

_TYPES: Final = {
    type_: getattr(bindings.Type, type_.name.upper())
    for type_ in SCALARS
    if type_.name not in ("f16", "f128")
}
_CONVENTIONS: Final = {
    "": "SystemV", "system_v": "SystemV", "fast": "Fast", "cold": "Cold", "tail": "Tail",
    "windows_fastcall": "WindowsFastcall",
}  # fmt: skip
_TRAPS: Final = {
    "stk_ovf": "STACK_OVERFLOW", "heap_oob": "HEAP_OUT_OF_BOUNDS", "int_ovf": "INTEGER_OVERFLOW",
    "int_divz": "INTEGER_DIVISION_BY_ZERO", "bad_toint": "BAD_CONVERSION_TO_INTEGER",
}  # fmt: skip
_INT_CC: Final = {
    "eq": "Equal", "ne": "NotEqual", "slt": "SignedLessThan", "sle": "SignedLessThanOrEqual",
    "sgt": "SignedGreaterThan", "sge": "SignedGreaterThanOrEqual", "ult": "UnsignedLessThan",
    "ule": "UnsignedLessThanOrEqual", "ugt": "UnsignedGreaterThan", "uge": "UnsignedGreaterThanOrEqual",
}  # fmt: skip
_FLOAT_CC: Final = {
    "ord": "Ordered", "uno": "Unordered", "eq": "Equal", "ne": "NotEqual", "one": "OrderedNotEqual",
    "ueq": "UnorderedOrEqual", "lt": "LessThan", "le": "LessThanOrEqual", "gt": "GreaterThan",
    "ge": "GreaterThanOrEqual", "ult": "UnorderedOrLessThan", "ule": "UnorderedOrLessThanOrEqual",
    "ugt": "UnorderedOrGreaterThan", "uge": "UnorderedOrGreaterThanOrEqual",
}  # fmt: skip


def _hidden(method: str, name: str) -> Any:
    """The class of a condition, which exists once a call has missed it."""
    nothing = bindings.Value(0)
    with suppress(TypeError):
        getattr(bindings.FunctionBuilder(), method)(None, nothing, nothing)
    return next(each for each in object.__subclasses__() if each.__name__ == name)


_CONDITIONS: Final = {
    "ins_icmp": (_hidden("ins_icmp", "IntCC"), _INT_CC),
    "ins_icmp_imm": (_hidden("ins_icmp", "IntCC"), _INT_CC),
    "ins_fcmp": (_hidden("ins_fcmp", "FloatCC"), _FLOAT_CC),
}


def trap_code(code: str) -> Any:
    """A trap code as the bindings have it."""
    if code in _TRAPS:
        return getattr(bindings.TrapCode, _TRAPS[code])
    return bindings.TrapCode(int(code.removeprefix("user")))


def _passed(param: AbiParam) -> Type:
    return I64 if param.extension and param.type.bits < 64 else param.type


def signature_of(signature: Signature) -> Any:
    """Unsupported for what the bindings can't say."""
    convention = _CONVENTIONS.get(signature.callconv)
    if convention is None:
        raise Unsupported(f"calling convention {signature.callconv}")
    made = bindings.Signature(getattr(bindings.CallConv, convention))
    for param in (*signature.params, *signature.returns):
        if param.purpose not in ("", "vmctx") or param.type not in _TYPES:
            raise Unsupported(f"a parameter {param.purpose} of type {param.type}")
    for param in signature.params:
        made.add_param(_TYPES[_passed(param)])
    for param in signature.returns:
        made.add_return(_TYPES[_passed(param)])
    return made


class Module:
    """The functions of a case as an object file. Use once. ``names``: symbol -> name in CLIF."""

    def __init__(self, functions: Sequence[Function], isa: Any) -> None:
        self.module = bindings.ObjectModule(isa, "case")
        self.names: dict[str, str] = {}
        self._libcalls: dict[str, str] = {}
        self._free = list(BORROWED.items())
        self._functions = functions

    def libcall(self, name: str) -> str:
        """The name by which the bindings know a function."""
        if name not in self._libcalls:
            if not self._free:
                raise Unsupported(f"more than {len(BORROWED)} functions")
            self._libcalls[name], symbol = self._free.pop(0)
            self.names[symbol] = name
        return self._libcalls[name]

    def compile(self) -> bytes:
        """The object file. ValueError as the bindings raise it."""
        declared = []
        for function in self._functions:
            symbol = BORROWED[self.libcall(function.name)]
            signature = signature_of(function.signature)
            linkage = bindings.Linkage.Export
            declared.append(
                (self.module.declare_function(symbol, linkage, signature), function, signature)
            )
        for number, function, signature in declared:
            self.module.define_function(number, Builder(self, function, signature).build())
        return bytes(self.module.finish().emit())


class Builder:
    """Builds one function. Use once."""

    def __init__(self, module: Module, function: Function, signature: Any) -> None:
        self.module = module
        self.function = function
        self.fb = bindings.FunctionBuilder()
        self.fb.func_signature = signature
        self.values: dict[Value, Any] = {}
        self.slots = {
            number: self.fb.create_sized_stack_slot(slot.size, max(slot.align, 1).bit_length() - 1)
            for number, slot in function.stack_slots.items()
        }
        self.blocks = {block.id: self.fb.create_block() for block in function.blocks}
        self._callees: dict[int, Any] = {}

    def build(self) -> Any:
        fb, blocks = self.fb, self.function.blocks
        for block in blocks[1:]:
            for value in block.params:
                type_ = _TYPES.get(self.function.value_types[value])
                if type_ is None:
                    raise Unsupported(f"type {self.function.value_types[value]}")
                self.values[value] = fb.append_block_param(self.blocks[block.id], type_)
        # A value has to be built before its uses; what is not reachable comes last.
        order = ControlFlow(self.function).order
        order += sorted(set(range(len(blocks))) - set(order))
        for number in order:
            fb.switch_to_block(self.blocks[blocks[number].id])
            if not number:
                self._parameters()
            for inst in blocks[number].insts:
                self._build_inst(inst)
            if blocks[number].cold:
                fb.set_cold_block(self.blocks[blocks[number].id])
        fb.seal_all_blocks()
        fb.finalize()
        return fb

    def _parameters(self) -> None:
        entry = self.function.entry
        fb, block = self.fb, self.blocks[entry.id]
        for value, param in zip(entry.params, self.function.signature.params, strict=True):
            passed = fb.append_block_param(block, _TYPES[_passed(param)])
            self.values[value] = self._narrow(passed, param)

    def _narrow(self, passed: Any, param: AbiParam) -> Any:
        if _passed(param) is param.type:
            return passed
        return self.fb.ins_ireduce(_TYPES[param.type], passed)

    def _extended(self, args: Sequence[Value], params: Sequence[AbiParam]) -> list[Any]:
        made = []
        for value, param in zip(self.of(args), params, strict=True):
            if _passed(param) is param.type:
                made.append(value)
            else:
                extend = self.fb.ins_uextend if param.extension == "uext" else self.fb.ins_sextend
                made.append(extend(_TYPES[I64], value))
        return made

    def of(self, values: Sequence[Value]) -> list[Any]:
        try:
            return [self.values[value] for value in values]
        except KeyError:
            raise Unsupported("a value that is not built before its use") from None

    def _build_inst(self, inst: Inst) -> None:
        if not is_built(inst.op, [self.function.value_types[r] for r in inst.results]):
            raise Unsupported(f"opcode {inst.op.name}")
        made = _SHAPES[inst.op.shape](self, inst, getattr(self.fb, f"ins_{inst.op.name}", None))
        if inst.results:
            made = made if isinstance(made, tuple | list) else (made,)
            self.values.update(zip(inst.results, made, strict=True))

    # -- by shape; each gets the method that is called like the opcode

    def _values(self, inst: Inst, method: Any) -> Any:
        return method(*_suffix(inst), *self.of(inst.args))

    def _return(self, inst: Inst, method: Any) -> None:
        method(self._extended(inst.args, self.function.signature.returns))

    def _int_const(self, inst: Inst, method: Any) -> Any:
        return method(*_suffix(inst), _signed(inst.imm))

    def _float_const(self, inst: Inst, method: Any) -> Any:
        single = self.function.value_types[inst.results[0]] is F32
        (number,) = struct.unpack(
            "<f" if single else "<d", inst.imm.to_bytes(4 if single else 8, "little")
        )
        if number == number:
            return method(number)
        # A NaN would not arrive as it was.
        bits = self.fb.ins_iconst(
            getattr(bindings.Type, "I32" if single else "I64"), _signed(inst.imm)
        )
        return self.fb.ins_bitcast(
            getattr(bindings.Type, "F32" if single else "F64"), bindings.MemFlags(), bits
        )

    def _compare(self, inst: Inst, method: Any) -> Any:
        kind, names = _CONDITIONS[f"ins_{inst.op.name}"]
        last = [_signed(inst.imm)] if inst.op.shape == "int_compare_imm" else []
        return method(getattr(kind, names[inst.keyword]), *self.of(inst.args), *last)

    def _with_immediate(self, inst: Inst, method: Any) -> Any:
        return method(*self.of(inst.args), _signed(inst.imm))

    def _flagged(self, inst: Inst, method: Any) -> Any:
        return method(*_suffix(inst), _flags(inst.flags), *self.of(inst.args))

    def _memory(self, inst: Inst, method: Any) -> Any:
        # Of loads that extend, the widest has one type only.
        suffix = [] if inst.op.name in ("uload32", "sload32") else _suffix(inst)
        return method(*suffix, _flags(inst.flags), *self.of(inst.args), inst.imm)

    def _slot(self, inst: Inst, method: Any) -> Any:
        return method(*_suffix(inst), *self.of(inst.args), self.slots[inst.ref], inst.imm)

    def _target(self, call: BlockCall) -> tuple[Any, list[Any]]:
        return self.blocks[call.block], self.of(call.args)

    def _branch(self, inst: Inst, method: Any) -> None:
        method(*self.of(inst.args), *(part for call in inst.targets for part in self._target(call)))

    def _br_table(self, inst: Inst, method: Any) -> None:
        default, *table = map(self._target, inst.targets)
        method(*self.of(inst.args), self.fb.create_jump_table(default, table))

    def _trap(self, inst: Inst, method: Any) -> Any:
        return method(*self.of(inst.args), trap_code(inst.keyword))

    def _callee(self, inst: Inst) -> Any:
        found = self._callees.get(inst.ref)
        if found is None:
            signature = callee_signature(self.function, inst)
            assert signature is not None  # the verifier's rule
            ref = self.function.functions[inst.ref]
            sig = self.fb.import_signature(signature_of(signature))
            found = self.fb.import_function(self.module.libcall(ref.name), sig, ref.colocated)
            self._callees[inst.ref] = found
        return found

    def _func_addr(self, inst: Inst, method: Any) -> Any:
        return method(*_suffix(inst), self._callee(inst))

    def _call(self, inst: Inst, method: Any) -> Any:
        signature = callee_signature(self.function, inst)
        assert signature is not None  # the verifier's rule
        args = inst.args[inst.ref < 0 :]
        if inst.op.terminator and list(map(_passed, signature.returns)) != list(
            map(_passed, self.function.signature.returns)
        ):
            raise Unsupported("a tail call of a function that extends its results otherwise")
        passed = self._extended(args, signature.params)
        if inst.ref < 0:
            sig = self.fb.import_signature(signature_of(signature))
            made = method(sig, *self.of(inst.args[:1]), passed)
        else:
            made = method(self._callee(inst), passed)
        if not inst.results:
            return None
        results = self.fb.inst_results(made)
        return [self._narrow(r, p) for r, p in zip(results, signature.returns, strict=True)]

    def _global_value(self, inst: Inst, _: Any) -> Any:
        base, steps = chain_of(self.function, inst.ref)
        if not isinstance(base, Parameter):
            raise Unsupported("the address of a symbol")
        (value,) = self.of([self.function.entry.params[base.position]])
        for step in steps:
            if step.type is None:
                value = self.fb.ins_iadd_imm(value, _signed(step.offset & I64.mask))
            else:
                value = self.fb.ins_load(_TYPES[step.type], _flags(step.flags), value, step.offset)
        return value


def _suffix(inst: Inst) -> list[Any]:
    """The type, where nothing else tells it."""
    return [_TYPES[inst.type]] if inst.op.suffix_required and inst.type is not None else []


def _signed(bits: int) -> int:
    return (bits ^ I64.sign) - I64.sign if bits <= I64.mask else bits


def _flags(flags: MemFlags) -> Any:
    if flags.endian == "big":
        raise Unsupported(
            "a byte order that is not the machine's"
        )  # x86-64's backend passes over it
    made = bindings.MemFlags()
    if flags.trap is None:
        made.set_notrap()
    else:
        made.set_trap_code(trap_code(flags.trap))
    named = (("aligned", flags.aligned), ("readonly", flags.readonly), ("can_move", flags.can_move),
             ("checked", flags.checked), (flags.endian, flags.endian), (flags.alias, flags.alias))  # fmt: skip
    for name, given in named:
        if given:
            made.set_by_name(name)
    return made


_SHAPES: Final[dict[str, Callable[[Builder, Inst, Any], Any]]] = {
    "values": Builder._values, "varargs": Builder._return, "int_const": Builder._int_const,
    "float_const": Builder._float_const, "binary_imm": Builder._with_immediate,
    **dict.fromkeys(("int_compare", "int_compare_imm", "float_compare"), Builder._compare),
    "flagged_unary": Builder._flagged,
    **dict.fromkeys(("load", "store"), Builder._memory),
    **dict.fromkeys(("slot", "slot_store"), Builder._slot),
    **dict.fromkeys(("jump", "brif"), Builder._branch), "br_table": Builder._br_table,
    **dict.fromkeys(("trap", "cond_trap", "add_trap"), Builder._trap),
    **dict.fromkeys(("call", "call_indirect"), Builder._call), "func": Builder._func_addr,
    "global": Builder._global_value,
}  # fmt: skip


def is_built(op: Opcode, types: Sequence[Type]) -> bool:
    """Do the bindings have ``op``, with results and operands of these types?"""
    if op.shape not in _SHAPES or not all(type_ in _TYPES for type_ in types):
        return False
    return op.name == "global_value" or (
        op.shape != "global" and hasattr(bindings.FunctionBuilder, f"ins_{op.name}")
    )
