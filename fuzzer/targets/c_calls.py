"""Signatures, calls and returns as C.

Where each value goes is the executor's to say (:func:`passing`), as it is for LLVM. A narrow integer is passed as 32
bits, of which the callee takes its own: that is so whether or not a compiler expects it extended. One with a promised
extension is passed as 64. Several values in registers are a structure of at most 16 bytes, a float in it in the low
half of a double; on AArch64 up to four of these. Results that find no register are stored where a trailing pointer
says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.errors import Unsupported
from backend.ir.entities import AbiParam, Inst, Signature
from backend.ir.rules import callee_signature
from backend.ir.types import F32, F64, I64, I128, Type
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import Passing, Piece, passing

if TYPE_CHECKING:
    from fuzzer.targets.c_ir import Translator

_CONVENTIONS: Final = ("", "system_v", "fast", "cold")
"""CLIF's that are C's own."""


class Shape(NamedTuple):
    """A signature in C's words. ``result``: the type that is returned; ``params``: the list of them, with names;
    ``whole``: is the result the first value itself, and no structure? ``types``: the definitions it needs, by name."""

    result: str
    params: str
    whole: bool
    passing: Passing
    types: dict[str, str]


def _kind(param: AbiParam) -> str:
    """The type it is passed as."""
    if param.type.is_float:
        return "float" if param.type is F32 else "double"
    if param.type is I128:
        return "u128"
    return "u64" if param.extension or param.type is I64 else "u32"


def _fits_structure(pieces: Sequence[Piece], isa: str) -> bool:
    """Does a structure of these come back in the registers that they are expected in?"""
    floats = sum(piece.is_float for piece in pieces)
    if isa == "x86_64":
        return len(pieces) <= 2
    return (not floats and len(pieces) <= 2) or (floats == len(pieces) and floats <= 4)


@cache
def shape_of(signature: Signature, isa: str) -> Shape:
    """Unsupported for what can't be said."""
    if signature.callconv not in _CONVENTIONS:
        raise Unsupported(f"calling convention {signature.callconv}")
    if any(param.purpose not in ("", "vmctx") for param in (*signature.params, *signature.returns)):
        raise Unsupported("a pointer to results")
    try:
        placed = passing(signature, MACHINES[isa])
    except ValueError as error:
        raise Unsupported(str(error)) from None
    held = [piece for piece in placed.results if piece.register >= 0]
    whole = bool(held) and all(piece.value == 0 for piece in held)
    types: dict[str, str] = {}
    if not held:
        result = "void"
    elif whole:
        result = _kind(signature.returns[0])
    elif _fits_structure(held, isa):
        fields = "".join("f" if piece.is_float else "i" for piece in held)
        result = f"struct r{fields}"
        members = "".join(
            f" {'double' if kind == 'f' else 'u64'} m{number};"
            for number, kind in enumerate(fields)
        )
        types[result] = f"{result} {{{members} }};"
    else:
        raise Unsupported("results that no structure of C comes back like")
    params = [f"{_kind(param)} p{number}" for number, param in enumerate(signature.params)]
    if placed.area:
        params.append("u8 *area")
    return Shape(result, ", ".join(params), whole, placed, types)


def fits_results(isa: str, types: Sequence[Type]) -> bool:
    try:
        shape_of(Signature((), tuple(AbiParam(type_) for type_ in types)), isa)
    except Unsupported:
        return False
    return True


# -- the function's own side


def parameters(low: Translator) -> None:
    for number, (value, param) in enumerate(
        zip(low.function.entry.params, low.function.signature.params, strict=True)
    ):
        cast = f"(u{param.type.bits})" if param.type.is_int else ""
        low.emit(f"v{value} = {cast}p{number};")


def _extended(low: Translator, text: str, param: AbiParam) -> str:
    """A value as it is passed."""
    if not param.type.is_int:
        return text
    cast = (
        f"(s64)(s{param.type.bits})" if param.extension == "sext" and param.type.bits < 64 else ""
    )
    return f"({_kind(param)}){cast}{text}"


def return_(low: Translator, inst: Inst) -> None:
    shape, returns = low.shape, low.function.signature.returns
    if shape.passing.area or shape.result.startswith("struct"):
        members: list[str] = []
        for piece in shape.passing.results:
            param = returns[piece.value]
            text = _extended(low, f"v{inst.args[piece.value]}", param)
            if param.type is I128:
                text = f"(u64)({text} >> {piece.shift})"
            if piece.register < 0:
                kind = "u64" if param.type is I128 else _kind(param)
                place = low.temporary(kind, text)
                low.emit(f"memcpy(area + {piece.offset}, &{place}, sizeof {place});")
            elif not shape.whole:
                if param.type is F32:
                    text = f"float64(bits32({text}))"
                members.append(text)
        if members:
            low.emit(f"return ({shape.result}){{ {', '.join(members)} }};")
            return
    low.emit(
        f"return {_extended(low, f'v{inst.args[0]}', returns[0])};" if shape.whole else "return;"
    )


# -- the caller's side


def func_addr(low: Translator, inst: Inst) -> None:
    signature = callee_signature(low.function, inst)
    assert signature is not None  # the verifier's rule
    name = low.function.functions[inst.ref].name
    low.set(inst, f"(u64){low.module.callee(name, shape_of(signature, low.module.isa))}")


def call(low: Translator, inst: Inst) -> None:
    signature = callee_signature(low.function, inst)
    assert signature is not None  # the verifier's rule
    shape = shape_of(signature, low.module.isa)
    low.module.types |= shape.types
    if inst.ref < 0:
        callee = f"(({shape.result} (*)({shape.params or 'void'}))v{inst.args[0]})"
    else:
        callee = low.module.callee(low.function.functions[inst.ref].name, shape)
    values = inst.args[inst.ref < 0 :]
    args = [_extended(low, f"v{v}", p) for v, p in zip(values, signature.params, strict=True)]
    area = ""
    if shape.passing.area:
        area = low.area(shape.passing.area)
        args.append(area)
    text = f"{callee}({', '.join(args)})"
    if shape.result == "void":
        low.emit(f"{text};")
        made = ""
    else:
        made = low.temporary(shape.result, text)
    _take(low, inst, signature, shape, made, area)


def _take(
    low: Translator, inst: Inst, signature: Signature, shape: Shape, made: str, area: str
) -> None:
    """The results of what was returned and stored."""
    parts: dict[int, list[str]] = {}
    member = 0
    for piece in shape.passing.results:
        param = signature.returns[piece.value]
        if piece.register < 0:
            text = low.temporary("u64" if param.type is I128 else _kind(param), "0")
            low.emit(f"memcpy(&{text}, {area} + {piece.offset}, sizeof {text});")
        elif shape.whole:
            text = made
        else:
            text = f"{made}.m{member}"
            member += 1
            if param.type is F32:
                text = f"float32((u32)bits64({text}))"
        parts.setdefault(piece.value, []).append(text)
    for number, texts in parts.items():
        type_ = signature.returns[number].type
        if type_ is I128 and not (shape.whole and number == 0):
            low.set(inst, f"(u128){texts[1]} << 64 | {texts[0]}", number)
        elif type_ in (F32, F64):
            low.set(inst, texts[0], number)
        else:
            low.set(inst, f"(u{type_.bits}){texts[0]}", number)


METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    "return": return_,
    "func_addr": func_addr,
    **dict.fromkeys(("call", "call_indirect"), call),
}
