"""Edits of a function that the reducer's passes are made of. None of them checks validity: the
verifier does, once a candidate is complete.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from backend.ir.opcodes import Opcode, opcode_named
from backend.ir.types import F32, F64, I64, I128, Type
from fuzzer.case import Case

_ICONST = opcode_named("iconst")
_UEXTEND = opcode_named("uextend")
_ICONCAT = opcode_named("iconcat")
_CONSTANTS = {F32: opcode_named("f32const"), F64: opcode_named("f64const")}
_GLOBAL = re.compile(r"\bgv(\d+)")
ANY_CONSTANT = frozenset((_ICONST, *_CONSTANTS.values()))


def replace_values(function: Function, mapping: dict[Value, Value]) -> bool:
    """Every use of a key becomes its value, followed through; False if that goes in a circle."""

    def final(value: Value) -> Value:
        steps = 0
        while value in mapping:
            value = mapping[value]
            steps += 1
            if steps > len(mapping):
                raise RecursionError
        return value

    try:
        resolved = {value: final(value) for value in mapping}
    except RecursionError:
        return False

    def one(value: Value) -> Value:
        return resolved.get(value, value)

    for inst in function.instructions():
        if any(arg in resolved for arg in inst.args):
            inst.args = tuple(map(one, inst.args))
        for call in inst.successors():
            if any(arg in resolved for arg in call.args):
                call.args = tuple(map(one, call.args))
    return True


def constant_of(type_: Type) -> Opcode:
    """The opcode of a constant of this type, which is not i128."""
    return _CONSTANTS.get(type_, _ICONST)


def constant(function: Function, type_: Type, bits: int = 0) -> Value:
    """A value of the entry block that is the constant: one that is there already, or a new one.

    There is no constant of i128: it is made of constants of i64.
    """
    entry = function.blocks[0]
    if type_ is I128:
        return _pair(function, bits)
    op = constant_of(type_)
    for inst in entry.insts:
        if inst.op not in ANY_CONSTANT:
            break
        if inst.type is type_ and inst.imm == bits:
            return inst.results[0]
    value = function.new_value(type_)
    entry.insts.insert(0, Inst(op, type_, (), (value,), imm=bits))
    return value


def _pair(function: Function, bits: int) -> Value:
    """An i128 right behind the constants that it is made of."""
    low, high = bits & I64.mask, bits >> 64
    halves = [constant(function, I64, low)]
    op, type_ = _UEXTEND, I128
    if high:
        halves.append(constant(function, I64, high))
        op, type_ = _ICONCAT, I64
    insts = function.blocks[0].insts
    at = 1 + max(
        place for place, inst in enumerate(insts) if not set(halves).isdisjoint(inst.results)
    )
    value = function.new_value(I128)
    insts.insert(at, Inst(op, type_, tuple(halves), (value,)))
    return value


def drop_block_param(function: Function, block: Block, index: int) -> Value:
    """Take a parameter and what every edge passes for it away; the value stays to be replaced."""
    value = block.params.pop(index)
    for inst in function.instructions():
        for call in inst.successors():
            if call.block == block.id:
                call.args = call.args[:index] + call.args[index + 1 :]
    return value


def drop_function_param(case: Case, index: int) -> Value:
    """Take a parameter of the function away, with its place in every input."""
    function = case.function
    signature = function.signature
    params = signature.params[:index] + signature.params[index + 1 :]
    function.signature = type(signature)(params, signature.returns, signature.callconv)
    case.inputs = [values[:index] + values[index + 1 :] for values in case.inputs]
    return function.blocks[0].params.pop(index)


def is_used(function: Function, value: Value) -> bool:
    return any(value in inst.uses() for inst in function.instructions())


def incoming(function: Function, block: Block, index: int) -> list[Value]:
    """What the edges pass for a block's parameter."""
    return [
        call.args[index]
        for inst in function.instructions()
        for call in inst.successors()
        if call.block == block.id and index < len(call.args)
    ]


def jump_to(call: BlockCall) -> Inst:
    return Inst(opcode_named("jump"), None, targets=(BlockCall(call.block, call.args),))


# -- cleaning up after an edit --------------------------------------------------------------------------


def clean(case: Case, *, dead_code: bool) -> None:
    """Drop what can't be reached, merge blocks in a row; with ``dead_code`` also what is not used.

    Dead code is optional: taking it away by force destroys bugs that need register pressure.
    """
    for function in case.functions:
        _clean(function, dead_code)


def _clean(function: Function, dead_code: bool) -> None:
    while _drop_unreachable(function) or _merge(function) or (dead_code and _drop_unused(function)):
        pass
    insts = list(function.instructions())
    used_slots = {i.ref for i in insts if i.op.shape in ("slot", "slot_store")}
    for slot in [s for s in function.stack_slots if s not in used_slots]:
        del function.stack_slots[slot]
    _drop_globals(function, {i.ref for i in insts if i.op.shape == "global"})
    used = {i.ref for i in insts if i.op.shape in ("call", "func")}
    for number in [n for n in function.functions if n not in used]:
        del function.functions[number]
    signatures = {i.sig for i in insts if i.op.shape == "call_indirect"}
    signatures |= {ref.sig for ref in function.functions.values() if isinstance(ref.sig, int)}
    for number in [n for n in function.signatures if n not in signatures]:
        del function.signatures[number]


def _drop_globals(function: Function, used: set[int]) -> None:
    """Global values that nothing is made of go."""
    waiting = list(used)
    while waiting:
        for word in _GLOBAL.findall(function.globals.get(waiting.pop(), "")):
            if int(word) not in used:
                used.add(int(word))
                waiting.append(int(word))
    for number in [n for n in function.globals if n not in used]:
        del function.globals[number]


def _drop_unreachable(function: Function) -> bool:
    by_id = {block.id: block for block in function.blocks}
    seen = {function.blocks[0].id}
    stack = [function.blocks[0]]
    while stack:
        block = stack.pop()
        for inst in block.insts:
            for call in inst.successors():
                if call.block not in seen and call.block in by_id:
                    seen.add(call.block)
                    stack.append(by_id[call.block])
    if len(seen) == len(function.blocks):
        return False
    function.blocks = [block for block in function.blocks if block.id in seen]
    return True


def _merge(function: Function) -> bool:
    edges: dict[int, int] = {}
    for inst in function.instructions():
        for call in inst.successors():
            edges[call.block] = edges.get(call.block, 0) + 1
    by_id = {block.id: block for block in function.blocks}
    for block in function.blocks:
        last = block.insts[-1]
        if last.op.name != "jump":
            continue
        call = last.targets[0]
        follower = by_id[call.block]
        if edges[call.block] != 1 or follower is block or follower is function.blocks[0]:
            continue
        mapping = dict(zip(follower.params, call.args, strict=True))
        block.insts[-1:] = follower.insts
        function.blocks.remove(follower)
        return replace_values(function, mapping)
    return False


def _drop_unused(function: Function) -> bool:
    used: set[Value] = set()
    for inst in function.instructions():
        used.update(inst.uses())
    changed = False
    for block in function.blocks:
        kept = [
            inst for inst in block.insts
            if inst.op.side_effects or not inst.results or not used.isdisjoint(inst.results)
        ]  # fmt: skip
        if len(kept) != len(block.insts):
            block.insts, changed = kept, True
    for block in function.blocks[1:]:
        for index in range(len(block.params) - 1, -1, -1):
            if block.params[index] not in used:
                drop_block_param(function, block, index)
                changed = True
    return changed


def renumber(function: Function) -> None:
    """Values and blocks numbered from 0 in the order of the text."""
    values: dict[Value, Value] = {}
    for block in function.blocks:
        for value in (*block.params, *(r for inst in block.insts for r in inst.results)):
            values[value] = len(values)
    types = {values[v]: function.value_types[v] for v in values}
    blocks = {block.id: number for number, block in enumerate(function.blocks)}
    _apply(function, lambda v: values[v], lambda b: blocks[b])
    function.value_types = types
    slots = {old: new for new, old in enumerate(function.stack_slots)}
    function.stack_slots = {slots[old]: slot for old, slot in function.stack_slots.items()}
    refs = {old: new for new, old in enumerate(function.functions)}
    function.functions = {refs[old]: ref for old, ref in function.functions.items()}
    signatures = {old: new for new, old in enumerate(function.signatures)}
    function.signatures = {signatures[old]: sig for old, sig in function.signatures.items()}
    for number, ref in function.functions.items():
        if isinstance(ref.sig, int):
            function.functions[number] = ref._replace(sig=signatures[ref.sig])
    for inst in function.instructions():
        if inst.op.shape in ("slot", "slot_store"):
            inst.ref = slots[inst.ref]
        elif inst.ref >= 0 and inst.op.shape in ("call", "func"):
            inst.ref = refs[inst.ref]
        elif inst.op.shape == "call_indirect":
            inst.sig = signatures[inst.sig]


def _apply(
    function: Function, value: Callable[[Value], Value], block_id: Callable[[int], int]
) -> None:
    def all_of(args: Iterable[Value]) -> tuple[Value, ...]:
        return tuple(value(arg) for arg in args)

    for block in function.blocks:
        block.id = block_id(block.id)
        block.params = list(all_of(block.params))
        for inst in block.insts:
            inst.args, inst.results = all_of(inst.args), all_of(inst.results)
            for call in inst.successors():
                call.block, call.args = block_id(call.block), all_of(call.args)
