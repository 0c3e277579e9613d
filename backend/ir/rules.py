"""The verifier's rules that are no matter of operand types: one function a shape, one row each.

A rule takes the function and an instruction whose operand count and T are right, and gives what is wrong,
or "". Source: section 5 of the language's facts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from backend.ir import opcodes
from backend.ir.entities import NO_FLAGS, Function, Inst, Signature, Value
from backend.ir.types import I64, Type

KEYWORDS: Final[dict[str, frozenset[str]]] = {
    "intcc": frozenset(opcodes.INT_CC),
    "floatcc": frozenset(opcodes.FLOAT_CC),
    "rmw": frozenset(opcodes.RMW_OPS),
    "code": frozenset(opcodes.TRAP_CODES),
}
"""The words of a syntax that stand for one keyword, and the keywords they take."""


def callee_signature(function: Function, inst: Inst) -> Signature | None:
    """The signature a call goes by; None if it is not declared."""
    if inst.ref >= 0:
        ref = function.functions.get(inst.ref)
        if ref is None:
            return None
        return ref.sig if isinstance(ref.sig, Signature) else function.signatures.get(ref.sig)
    return function.signatures.get(inst.sig)


_Check = Callable[[Function, Inst], str]


def _keyword(word: str) -> _Check:
    allowed = KEYWORDS[word]

    def check(_: Function, inst: Inst) -> str:
        return "" if inst.keyword in allowed else f"{inst.op.name} has no {inst.keyword!r}"

    return check


def _constant(_: Function, inst: Inst) -> str:
    assert inst.type is not None  # the rule's type was checked before
    if 0 <= inst.imm <= inst.type.mask:
        return ""
    return f"the constant {inst.imm:#x} has bits above its type {inst.type}"


def _float_constant(function: Function, inst: Inst) -> str:
    type_ = opcodes.resolve(inst.op.results[0], None)
    assert type_ is not None  # concrete in every row of this shape
    if inst.ref >= 0:
        return _pool(function, inst.ref, type_)
    return "" if 0 <= inst.imm <= type_.mask else f"the constant does not fit in {type_}"


def _pool(function: Function, ref: int, type_: Type) -> str:
    data = function.constants.get(ref)
    if data is None:
        return f"const{ref} is not declared"
    return (
        ""
        if len(data) == type_.bytes
        else f"const{ref} has {len(data)} bytes, {type_} {type_.bytes}"
    )


def _vector_constant(function: Function, inst: Inst) -> str:
    assert inst.type is not None  # the rule's type was checked before
    if not isinstance(inst.data, bytes):
        return _pool(function, inst.ref, inst.type)
    return "" if len(inst.data) == inst.type.bytes else f"{len(inst.data)} bytes for {inst.type}"


def _immediate(_: Function, inst: Inst) -> str:
    return "" if 0 <= inst.imm < 1 << 64 else "the immediate does not fit in 64 bits"


def _compare_immediate(function: Function, inst: Inst) -> str:
    return _INT_CC(function, inst) or _immediate(function, inst)


def _lane(function: Function, inst: Inst) -> str:
    type_ = function.value_types[inst.args[0]]
    return "" if 0 <= inst.imm < type_.lanes else f"{type_} has no lane {inst.imm}"


def _mask(_: Function, inst: Inst) -> str:
    data = inst.data
    if not isinstance(data, bytes) or len(data) != 16:
        return "the mask of a shuffle has 16 bytes"
    return "" if max(data) < 32 else "a byte of the mask is above 31"


def _memory(function: Function, inst: Inst) -> str:
    flags = inst.flags
    if flags is NO_FLAGS:
        return _offset(function, inst)
    if flags.readonly and inst.op.writes:
        return "readonly on what writes"
    if flags.region is not None and flags.region not in function.regions:
        return f"region{flags.region} is not declared"
    if flags.trap is not None and flags.trap not in KEYWORDS["code"]:
        return f"no trap code {flags.trap!r}"
    return _offset(function, inst)


def _offset(_: Function, inst: Inst) -> str:
    return "" if -(1 << 31) <= inst.imm < 1 << 31 else "the offset does not fit in 32 bits"


def _atomic_rmw(function: Function, inst: Inst) -> str:
    return _RMW(function, inst) or _memory(function, inst)


def _bitcast(function: Function, inst: Inst) -> str:
    flags = inst.flags
    if flags._replace(endian="") != NO_FLAGS:
        return "a bitcast takes no flags but a byte order"
    source = function.value_types[inst.args[0]]
    assert inst.type is not None  # the rule's type was checked before
    if source.lanes != inst.type.lanes and not flags.endian:
        return f"a bitcast from {source} to {inst.type} needs a byte order, little or big"
    return ""


def _slot(function: Function, inst: Inst) -> str:
    if inst.ref not in function.stack_slots:
        return f"ss{inst.ref} is not declared"
    return _offset(function, inst)


def _dynamic_slot(function: Function, inst: Inst) -> str:
    known = inst.ref in function.dynamic_slots
    return "" if known else f"dss{inst.ref} is not declared"


def _global(function: Function, inst: Inst) -> str:
    return "" if inst.ref in function.globals else f"gv{inst.ref} is not declared"


def _function_reference(function: Function, inst: Inst) -> str:
    return "" if inst.ref in function.functions else f"fn{inst.ref} is not declared"


def _targets(count: int) -> _Check:
    def check(_: Function, inst: Inst) -> str:
        if len(inst.targets) == count:
            return ""
        return f"{inst.op.name} has {count} targets, not {len(inst.targets)}"

    return check


def _exception_handler(function: Function, inst: Inst) -> str:
    if len(inst.targets) != 1 or all(
        block.id != inst.targets[0].block for block in function.blocks
    ):
        return f"{inst.op.name} names a block that exists"
    return ""


def _table(_: Function, inst: Inst) -> str:
    return "" if inst.targets else "br_table needs a default"


def _match(function: Function, values: tuple[Value, ...], want: list[Type], what: str) -> str:
    types = function.value_types
    if len(values) != len(want):
        return f"{what}: {len(want)} values, not {len(values)}"
    for value, type_ in zip(values, want, strict=True):
        if types.get(value) is not type_:
            return f"{what}: v{value} is {types.get(value)}, expected {type_}"
    return ""


def _return(function: Function, inst: Inst) -> str:
    returns = [param.type for param in function.signature.returns]
    return _match(function, inst.args, returns, "the function returns")


def _call(function: Function, inst: Inst) -> str:
    signature = callee_signature(function, inst)
    if signature is None:
        return (
            f"fn{inst.ref} is not declared" if inst.ref >= 0 else f"sig{inst.sig} is not declared"
        )
    args = inst.args
    if "addr" in inst.op.operands:
        if not args or function.value_types.get(args[0]) is not I64:
            return "the callee's address must be i64"
        args = args[1:]
    message = _match(function, args, [p.type for p in signature.params], "the callee takes")
    if message or not inst.op.terminator:
        return message or _match(
            function, inst.results, [p.type for p in signature.returns], "the callee returns"
        )
    if inst.results:
        return f"{inst.op.name} has no results"
    if inst.op.name.startswith("return_call"):
        if signature.callconv != "tail" or function.signature.callconv != "tail":
            return "a tail call needs the calling convention tail on both sides"
        if [p.type for p in signature.returns] != [p.type for p in function.signature.returns]:
            return "a tail call's callee must return what the caller returns"
    return ""


def _try_call(function: Function, inst: Inst) -> str:
    signature = function.signatures.get(inst.sig)
    if signature is None:
        return f"sig{inst.sig} is not declared"
    if len(inst.targets) != 1 or not isinstance(inst.data, tuple):
        return "a try_call has one normal edge and a table of handlers"
    if inst.ref >= 0 and callee_signature(function, inst) != signature:
        return f"sig{inst.sig} is not the signature of fn{inst.ref}"
    return _call(function, inst)


_INT_CC: Final = _keyword("intcc")
_RMW: Final = _keyword("rmw")

SHAPE_RULES: Final[dict[str, _Check]] = {
    "varargs": _return,
    "int_const": _constant,
    "float_const": _float_constant,
    "pool_const": _vector_constant,
    "int_compare": _INT_CC,
    "int_compare_imm": _compare_immediate,
    "float_compare": _keyword("floatcc"),
    "binary_imm": _immediate,
    "lane_of": _lane,
    "lane_into": _lane,
    "shuffle": _mask,
    "load": _memory,
    "store": _memory,
    "atomic_load": _memory,
    "atomic_store": _memory,
    "atomic_rmw": _atomic_rmw,
    "atomic_cas": _memory,
    "slot": _slot,
    "slot_store": _slot,
    "dynamic_slot": _dynamic_slot,
    "dynamic_slot_store": _dynamic_slot,
    "jump": _targets(1),
    "brif": _targets(2),
    "br_table": _table,
    "call": _call,
    "call_indirect": _call,
    "try_call": _try_call,
    "try_call_indirect": _try_call,
    "func": _function_reference,
    "global": _global,
    "exception_handler": _exception_handler,
    "trap": _keyword("code"),
    "cond_trap": _keyword("code"),
    "add_trap": _keyword("code"),
    "flagged_unary": _bitcast,
}
