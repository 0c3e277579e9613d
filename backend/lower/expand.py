"""Opcodes that are other opcodes: rewritten before lowering, for any ISA.

A row says what an opcode comes to, one instruction a part: ``result = opcode.TYPE operands``. Operands are
``x y z`` (the instruction's own), names of earlier results, or integers (an iconst of the TYPE; ``HALF``: half its
bits); a last result is called ``d`` (and ``d2``). TYPE is ``T`` (the instruction's), ``half``, ``double``, ``bits``
(the integer as wide as T) or a name. What the instruction has besides values (slot, flags, offset, trap code,
condition) is copied; an address ``x+8`` adds to the offset, and an ``icmp`` or ``fcmp`` may name its condition before
its operands, a ``trapz`` its code behind it. ``call NAME`` calls a function of the run-time library
(:mod:`backend.lower.library`). An extension or reduction to the type that it comes from is nothing.

What a ``global_value`` comes to is said by the declaration that it names; its row has one step of each kind.

Applied until nothing changes. The function given is never changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final, NamedTuple

from backend.errors import Unsupported
from backend.ir.entities import (
    NO_FLAGS,
    Block,
    Function,
    FunctionRef,
    Inst,
    MemFlags,
    Signature,
    Value,
)
from backend.ir.global_values import Parameter, Step, chain_of
from backend.ir.opcodes import FLOAT_CC, INT_CC, Opcode, opcode_named, resolve
from backend.ir.types import I64, I128, Type, double_width, half_width, int_of_width, type_named
from backend.lower.library import BY_TYPES, FALLBACKS, ON_PAIRS, SIGNATURES
from backend.lower.pairs import PAIRS

_ICONST: Final = opcode_named("iconst")
_IADD: Final = opcode_named("iadd")
_MAX_OFFSET: Final = (1 << 31) - 1
_LOAD: Final = opcode_named("load")
_CALL: Final = opcode_named("call")
_GLOBAL_VALUE: Final = opcode_named("global_value")
_CONSTS: Final = frozenset((_ICONST, *(opcode_named(f"f{bits}const") for bits in (32, 64))))
_LINE: Final = re.compile(r"(?:(\w+(?:, \w+)*) = )?(\w+?)(?:\.(\w+))?(?: (.+))?")


class Part(NamedTuple):
    """One instruction of an expansion; ``type``: "T", "half", ..., a type's name, or "" for none;
    ``keyword``: its condition or trap code, or "" for that of the instruction; of a call its callee; ``offset``: to
    add to its offset."""

    results: tuple[str, ...]
    op: Opcode
    type: str
    operands: tuple[str, ...]
    keyword: str = ""
    offset: int = 0


def _parse(text: str) -> tuple[Part, ...]:
    made = []
    for line in text.split(";"):
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"{line!r} is no instruction of an expansion")
        results, name, type_, operands = match.groups()
        op = opcode_named(name)
        first, _, rest = (operands or "").partition(" ")
        keyword = ""
        if op is _CALL or first in INT_CC or first in FLOAT_CC:
            keyword, operands = first, rest
        elif op.shape == "cond_trap":
            operands, _, keyword = (operands or "").partition(", ")
        operands, _, offset = (operands or "").partition("+")
        made.append(
            Part(_words(results), op, type_ or "", _words(operands), keyword, int(offset or 0))
        )
    return tuple(made)


def _words(text: str | None) -> tuple[str, ...]:
    return tuple(text.replace(" ", "").split(",")) if text else ()


def _binary_imm(name: str) -> str:
    return f"t = iconst.T imm; d = {name}.T x, t"


ALWAYS: Final[dict[Opcode, tuple[Part, ...]]] = {
    opcode_named(name): _parse(text)
    for name, text in {
        **{f"{name}_imm": _binary_imm(name) for name in (
            "iadd", "imul", "sdiv", "srem", "udiv", "urem", "band", "bor", "bxor",
            "ishl", "ushr", "sshr", "rotl", "rotr")},
        "irsub_imm": "t = iconst.T imm; d = isub.T t, x",
        "icmp_imm": "t = iconst.T imm; d = icmp.T x, t",
        "band_not": "t = bnot.T y; d = band.T x, t",
        "bor_not": "t = bnot.T y; d = bor.T x, t",
        "bxor_not": "t = bnot.T y; d = bxor.T x, t",
        "stack_load": "t = stack_addr.i64; d = load.T t",
        "stack_store": "t = stack_addr.i64; store.T x, t",
        "iconcat": "l = uextend.double x; h = uextend.double y; s = ishl.double h, HALF; d = bor.double l, s",
        "isplit": "d = ireduce.half x; s = ushr.T x, HALF; d2 = ireduce.half s",
        **{f"{sign}add_overflow_cin": f"t, p = {sign}add_overflow.T x, y; b = icmp.i8 ne z, 0; c = uextend.T b;"
                                      f" d, q = {sign}add_overflow.T t, c; d2 = bxor.i8 p, q" for sign in "us"},
        **{f"{sign}sub_overflow_bin": f"t, p = {sign}sub_overflow.T x, y; b = icmp.i8 ne z, 0; c = uextend.T b;"
                                      f" d, q = {sign}sub_overflow.T t, c; d2 = bxor.i8 p, q" for sign in "us"},
    }.items()
}  # fmt: skip

_BIG: Final[dict[Opcode, tuple[Part, ...]]] = {
    opcode_named(name): _parse(text)
    for name, text in {
        "load": "t = load.T x; d = bswap.T t",
        "store": "t = bswap.T x; store.T t, y",
        **{f"{sign}load{bits}": f"t = load.i{bits} x; s = bswap.i{bits} t; d = {sign}extend.T s"
           for sign in "us" for bits in (16, 32)},
        **{f"istore{bits}": f"t = ireduce.i{bits} x; s = bswap.i{bits} t; store.i{bits} s, y"
           for bits in (16, 32)},
    }.items()
}  # fmt: skip


_BIG_FLOAT: Final[dict[Opcode, tuple[Part, ...]]] = {
    opcode_named("load"): _parse("t = load.bits x; s = bswap.bits t; d = bitcast.T s"),
    opcode_named("store"): _parse("t = bitcast.bits x; s = bswap.bits t; store.bits s, y"),
}
_PAIRS: Final = {opcode_named(name): _parse(text) for name, text in (PAIRS | ON_PAIRS).items()}
_BY_TYPES: Final[dict[tuple[Opcode, Type | None, Type | None], tuple[Part, ...]]] = {
    (opcode_named(name), type_, second): _parse(text)
    for (name, type_, second), text in BY_TYPES.items()
} | {(_GLOBAL_VALUE, I64, None): _parse("t = iconst.T 0; s = iadd.T t, t; d = load.T s")}
_FALLBACKS: Final = {
    (opcode_named(name), type_): _parse(text) for (name, type_), text in FALLBACKS.items()
}
Lacking = frozenset[tuple[Opcode, Type]]
"""Opcodes at types for which an ISA has no rule and that the run-time library has."""
LIBRARY_HAS: Final[Lacking] = frozenset(_FALLBACKS)
_WHOLE: Final = frozenset({(opcode_named("iconcat"), I64), (opcode_named("isplit"), I128)})
"""What pairs are made of."""

_CANDIDATES: Final = frozenset(op.index for op in (*ALWAYS, *_BIG, _GLOBAL_VALUE))
"""What :func:`_parts_of` has to be asked about; in a function with an i128 also these:"""
_PAIR_CANDIDATES: Final = _CANDIDATES | frozenset(
    op.index for op in (*_PAIRS, *(key[0] for key in _BY_TYPES))
)
_RESIZING: Final = frozenset(opcode_named(name) for name in ("uextend", "sextend", "ireduce"))


@cache
def _asked(pairs: bool, lacking: Lacking) -> frozenset[int]:
    """The opcodes that :func:`_parts_of` has to be asked about."""
    return (_PAIR_CANDIDATES if pairs else _CANDIDATES) | {op.index for op, _ in lacking}


def _parts_of(inst: Inst, types: dict[Value, Type], lacking: Lacking) -> tuple[Part, ...]:
    type_ = inst.type
    if inst.flags.endian == "big" and type_ is not None and type_.bits > 8:
        parts = (_BIG_FLOAT if type_.is_float else _BIG).get(inst.op)
        if parts is not None:
            return parts
    return _expansion(inst.op, type_, types[inst.args[0]] if inst.args else None, lacking)


def _expansion(
    op: Opcode, type_: Type | None, second: Type | None, lacking: Lacking
) -> tuple[Part, ...]:
    """The parts of ``op`` at T = ``type_``, S (the first operand's) = ``second``, memory being little-endian; () if it
    is not expanded."""
    if type_ is I128:
        parts = _PAIRS.get(op)
        if parts is not None:
            return parts
    parts = _BY_TYPES.get((op, type_, second))
    if parts is not None:
        return parts
    if type_ is not None and lacking and (op, type_) in lacking:
        return _FALLBACKS[op, type_]
    parts = ALWAYS.get(op)
    return () if parts is None or (op, type_) in _WHOLE else parts


def parts(
    op: Opcode, type_: Type | None, second: Type | None = None
) -> list[tuple[Opcode, Type | None, Type | None]]:
    """What ``op`` at T = ``type_`` and S = ``second`` comes to, as (opcode, T, S); empty if it is not expanded
    or has no expansion at that type."""
    found: list[tuple[Opcode, Type | None, Type | None]] = []
    if type_ is None:
        return found
    try:
        types = {
            name: resolve(term, type_, second)
            for name, term in zip("xyz", op.operands, strict=False)
        }
        for part in _expansion(op, type_, second, LIBRARY_HAS):
            wanted = _type(part.type, type_)
            if part.op is _CALL:
                found.append((_CALL, None, None))
                result = SIGNATURES[part.keyword].returns[0].type
                types |= dict.fromkeys(part.results, result)
                continue
            source: Type | None = None
            for word, term in zip(part.operands, part.op.operands, strict=False):
                if term == "S":
                    source = types.get(word, wanted)
            if part.op in _RESIZING and source is wanted:
                types[part.results[0]] = wanted
                continue
            for name, term in zip(part.results, part.op.results, strict=True):
                types[name] = resolve(term, wanted, source)
            found.append((part.op, wanted if part.op.over else None, source))
    except ValueError:
        return []
    return found


def callees(op: Opcode, type_: Type, second: Type | None = None) -> list[Signature]:
    """The functions of the library that ``op`` at T = ``type_`` and S = ``second`` comes to."""
    return [SIGNATURES[part.keyword]
            for part in _expansion(op, type_, second, LIBRARY_HAS) if part.op is _CALL]  # fmt: skip


def _type(name: str, type_: Type | None) -> Type | None:
    if not name:
        return None
    if name == "T":
        return type_
    if name == "bits":
        return None if type_ is None else int_of_width(type_.bits)
    if name in ("half", "double"):
        if type_ is None:
            return None
        return half_width(type_) if name == "half" else double_width(type_)
    return type_named(name)


def expand(function: Function, lacking: Lacking = frozenset()) -> Function:
    """``function`` in simpler opcodes: itself if there is nothing to do, else a copy.

    ``lacking``: of :data:`LIBRARY_HAS`, what the ISA has no rule for.
    """
    types = function.value_types
    asked = _asked(I128 in types.values(), lacking)
    if not any(
        inst.op.index in asked and _parts_of(inst, types, lacking)
        for block in function.blocks for inst in block.insts
    ):  # fmt: skip
        return function
    function = function.copy(share=True)
    for block in function.blocks:
        _expand_block(function, block, lacking, asked)
    return function


def _expand_block(
    function: Function, block: Block, lacking: Lacking, asked: frozenset[int]
) -> None:
    pending = block.insts[::-1]
    done: list[Inst] = []
    while pending:
        inst = pending.pop()
        if inst.op.index not in asked:
            done.append(inst)
            continue
        found = _parts_of(inst, function.value_types, lacking)
        if inst.op is _GLOBAL_VALUE:
            done += _global_value(function, inst)
        elif found:
            pending += _instances(function, inst, found)[::-1]
        else:
            done.append(inst)
    block.insts = done


def _instances(function: Function, inst: Inst, found: tuple[Part, ...]) -> list[Inst]:
    names: dict[str, Value] = dict(zip("xyz", inst.args, strict=False))
    names |= zip(("d", "d2"), inst.results, strict=False)
    made: list[Inst] = []
    for part in found:
        type_ = _type(part.type, inst.type)
        args = [
            _operand(function, made, names, word, inst, type_)
            for word in part.operands
            if part.op not in _CONSTS
        ]
        if part.op in _RESIZING and function.value_types[args[0]] is type_:
            names[part.results[0]] = args[0]
            continue
        results = []
        for name, term in zip(part.results, part.op.results, strict=True):
            if name not in names:
                result = resolve(term, type_)
                if part.op is _CALL:
                    result = SIGNATURES[part.keyword].returns[0].type
                # a part's results are of T or of types that follow from it
                assert result is not None
                names[name] = function.new_value(result)
            results.append(names[name])
        memory = bool(part.op.reads or part.op.writes)
        slot = part.op.shape == "slot"
        imm = _immediate(part, inst, type_, slot or (memory and inst.op.shape in ("load", "store")))
        if memory and not slot and imm > _MAX_OFFSET:
            args[-1] = _further(function, made, args[-1], part.offset)
            imm -= part.offset
        made.append(Inst(
            part.op, type_, tuple(args), tuple(results), imm=imm,
            keyword="" if part.op is _CALL else part.keyword or inst.keyword,
            flags=_flags(inst) if memory else NO_FLAGS,
            ref=_callee(function, part.keyword) if part.op is _CALL else inst.ref if slot else -1,
            srcloc=inst.srcloc,
        ))  # fmt: skip
    return made


def _global_value(function: Function, inst: Inst) -> list[Inst]:
    """The steps from the context's address to the value."""
    base, steps = chain_of(function, inst.ref)
    if not isinstance(base, Parameter):
        raise Unsupported("the address of a symbol")
    if inst.type is not I64 or any(step.type not in (None, I64) for step in steps):
        raise Unsupported("a global value that is no i64")
    value = function.entry.params[base.position]
    made: list[Inst] = []
    for step in steps or [Step(0)]:
        offset = step.offset
        if step.type is None or not -_MAX_OFFSET <= offset <= _MAX_OFFSET:
            value, offset = _further(function, made, value, offset & I64.mask), 0
        if step.type is not None:
            loaded = function.new_value(I64)
            made.append(Inst(_LOAD, I64, (value,), (loaded,), imm=offset, flags=step.flags))
            value = loaded
    made[-1].results = inst.results
    for each in made:
        each.srcloc = inst.srcloc
    return made


def _further(function: Function, made: list[Inst], address: Value, bytes_: int) -> Value:
    """``address + bytes_``, made by instructions."""
    step, sum_ = function.new_value(I64), function.new_value(I64)
    made.append(Inst(_ICONST, I64, (), (step,), imm=bytes_))
    made.append(Inst(_IADD, I64, (address, step), (sum_,)))
    return sum_


def _callee(function: Function, name: str) -> int:
    """The number of the library's function in the preamble."""
    ref = FunctionRef(name, SIGNATURES[name])
    known = function.functions
    number = next((n for n, declared in known.items() if declared == ref), -1)
    if number < 0:
        number = max(known, default=-1) + 1
        known[number] = ref
    return number


def _immediate(part: Part, inst: Inst, type_: Type | None, offset: bool) -> int:
    if part.op in _CONSTS and type_ is not None:
        return (inst.imm if part.operands == ("imm",) else int(part.operands[0], 0)) & type_.mask
    return inst.imm + part.offset if offset else 0


def _flags(inst: Inst) -> MemFlags:
    """The memory flags of the native-endian access. A slot is the function's own and can't fault."""
    if inst.op.shape in ("slot", "slot_store"):
        return MemFlags(trap=None)
    return inst.flags._replace(endian="")


_CONSTANTS: Final[dict[str, Callable[[Type], int]]] = {
    "HALF": lambda type_: type_.bits // 2,
}


def _operand(
    function: Function,
    made: list[Inst],
    names: dict[str, Value],
    word: str,
    inst: Inst,
    type_: Type | None,
) -> Value:
    """The value that ``word`` means, with an iconst made for it if it is a constant."""
    if word in names or type_ is None:
        return names[word]
    constant = _CONSTANTS.get(word)
    bits = int(word, 0) if constant is None else constant(type_)
    value = function.new_value(type_)
    made.append(Inst(_ICONST, type_, (), (value,), imm=bits & type_.mask))
    return value
