"""Passes that leave the structure as it is: smaller numbers, plainer opcodes, narrower types.

What is simpler of a float is not what is smaller as bits: 1.0 and 0.0 before subnormals, few digits before many.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import partial
from typing import Final

from backend.ir.entities import AbiParam, Function, Inst, MemFlags, Signature, StackSlot, Value
from backend.ir.opcodes import opcode_named
from backend.ir.types import F32, F64, I32, I64, I128, INTS, Type
from fuzzer.case import DATA_BASE, Case
from fuzzer.generate.constants import FRACTIONS
from fuzzer.reduce import edit
from fuzzer.reduce.reducer import Reducer

_IADD: Final = opcode_named("iadd")
_FADD: Final = opcode_named("fadd")


def numbers(reducer: Reducer) -> None:
    """Smaller constants, offsets and slots; the plainest condition and trap code."""
    for where in positions(reducer):
        inst = at(reducer.best, where)
        if inst is None:
            continue
        type_ = inst.type if inst.op in edit.ANY_CONSTANT else None
        for number in simpler(inst.imm, type_):
            if reducer.attempt(partial(_set, where=where, attribute="imm", value=number)):
                break
        plain = {"int_compare": ("eq", "ne"), "float_compare": ("eq", "ne"), "trap": ("user1",),
                 "cond_trap": ("user1",), "add_trap": ("user1",)}.get(inst.op.shape, ())  # fmt: skip
        for keyword in plain:
            if reducer.attempt(partial(_set, where=where, attribute="keyword", value=keyword)):
                break
        if inst.flags != MemFlags():
            reducer.attempt(partial(_set, where=where, attribute="flags", value=MemFlags()))
    for slot, now in list(reducer.best.function.stack_slots.items()):
        for size in (4, 8, 16, 64, now.size // 2):
            for align in (1, now.align):

                def resize(case: Case, slot: int = slot, size: int = size, a: int = align) -> bool:
                    case.function.stack_slots[slot] = StackSlot(size, a)
                    return True

                reducer.attempt(resize)


def _set(case: Case, where: tuple[int, int], attribute: str, value: object) -> bool:
    inst = at(case, where)
    if inst is None or getattr(inst, attribute) == value:
        return False
    setattr(inst, attribute, value)
    return True


def opcodes(reducer: Reducer) -> None:
    """Simpler opcodes of the same shape; straight layout and no cold blocks."""
    for where in positions(reducer):
        inst = at(reducer.best, where)
        if inst is None or inst.op.shape != "values" or len(inst.args) != 2:
            continue
        plain = _FADD if inst.type is not None and inst.type.is_float else _IADD
        if inst.op.operands == ("T", "T") and inst.op.results == ("T",) and inst.op is not plain:
            reducer.attempt(partial(_set, where=where, attribute="op", value=plain))
    reducer.attempt(_warm)


def _warm(case: Case) -> bool:
    cold = [block for block in case.function.blocks if block.cold]
    for block in cold:
        block.cold = False
    return bool(cold)


_NARROWER: Final = (*((old, I32) for old in INTS[:4] if old is not I32), (I128, I64), (F64, F32))
_RESIZING: Final = frozenset(
    map(opcode_named, ("uextend", "sextend", "ireduce", "iconcat", "fpromote", "fdemote"))
)
"""What is nothing between a type and itself (of two halves, the lower one is left)."""


def widths(reducer: Reducer) -> None:
    """All values of one type become another if the function allows it: integers i32 for choice, i128 i64, f64 f32."""
    for old, new in _NARROWER:
        reducer.attempt(partial(_retype, old=old, new=new))


def _retype(case: Case, old: Type, new: Type) -> bool:
    function = case.function
    if old not in function.value_types.values():
        return False
    for value, type_ in function.value_types.items():
        if type_ is old:
            function.value_types[value] = new
    for inst in function.instructions():
        if inst.type is old:
            inst.type = new
            if inst.op in edit.ANY_CONSTANT:
                inst.op, inst.imm = edit.constant_of(new), _resize(inst.imm, old, new)
    signature = function.signature

    def convert(params: tuple[AbiParam, ...]) -> tuple[AbiParam, ...]:
        return tuple([p._replace(type=new) if p.type is old else p for p in params])

    case.inputs = [
        tuple(_resize(v, old, new) if p.type is old else v
              for v, p in zip(values, signature.params, strict=True))
        for values in case.inputs
    ]  # fmt: skip
    function.signature = Signature(
        convert(signature.params), convert(signature.returns), signature.callconv
    )
    return _drop_resizings(function)


def _drop_resizings(function: Function) -> bool:
    """Extensions and reductions to the type they come from give way to their operands."""
    types = function.value_types
    mapping: dict[Value, Value] = {}
    for block in function.blocks:
        kept = []
        for inst in block.insts:
            if inst.op in _RESIZING and types[inst.args[0]] is types[inst.results[0]]:
                mapping[inst.results[0]] = inst.args[0]
            else:
                kept.append(inst)
        block.insts = kept
    return edit.replace_values(function, mapping)


def _resize(bits: int, old: Type, new: Type) -> int:
    """Sign-extended or cut; a float rounded."""
    if old.is_float:
        return _rounded(bits)
    return ((bits ^ old.sign) - old.sign) & new.mask


def _rounded(bits: int) -> int:
    """The f32 next to an f64; the upper part of a NaN's payload, or something of it."""
    value = struct.unpack("<d", bits.to_bytes(8, "little"))[0]
    sign = bits >> 63 << 31
    if value != value:
        return sign | 0xFF << 23 | (bits >> 29 & (1 << 23) - 1 or 1)
    try:
        return int.from_bytes(struct.pack("<f", value), "little")
    except OverflowError:
        return sign | 0xFF << 23


def positions(reducer: Reducer) -> Iterator[tuple[int, int]]:
    """(block position, instruction position), read off the best case as it is by then."""
    block = 0
    while block < len(reducer.best.function.blocks):
        inst = 0
        while block < len(reducer.best.function.blocks) and inst < len(
            reducer.best.function.blocks[block].insts
        ):
            yield block, inst
            inst += 1
        block += 1


def at(case: Case, where: tuple[int, int]) -> Inst | None:
    blocks = case.function.blocks
    if where[0] >= len(blocks) or where[1] >= len(blocks[where[0]].insts):
        return None
    return blocks[where[0]].insts[where[1]]


def simpler(number: int, type_: Type | None) -> list[int]:
    """Numbers worth trying instead, simplest first; an address of data stays one."""
    if type_ is not None and type_.is_float:
        return [c for c in dict.fromkeys(_simpler_floats(number, type_)) if c != number]
    if number == DATA_BASE:
        return [0]
    candidates = [0, 1, 2, 3]
    if type_ is not None and number:
        candidates += [type_.mask, type_.sign, number & 0xFF, number & 0xFFFF]
        top = 1 << (number.bit_length() - 1)
        candidates += [top, top - 1]
    if number > 0:
        candidates += [number // 2, number - 1]
    return [c for c in dict.fromkeys(candidates) if c != number]


def _simpler_floats(bits: int, type_: Type) -> Iterator[int]:
    """Zeros, ones and two; the same without its sign, with fewer digits, with an exponent of 0."""
    fraction = FRACTIONS[type_]
    infinity = type_.sign - (1 << fraction)
    one = infinity >> 1 & infinity
    yield from (0, one, type_.sign, one | type_.sign, one + (1 << fraction), infinity)
    yield bits & ~type_.sign
    for kept in (0, 1, fraction // 2):
        yield bits & ~((1 << fraction - kept) - 1)
    if bits & infinity != infinity:
        yield bits & ~infinity | one
    else:
        yield from (infinity | 1 << fraction - 1, infinity | 1)
