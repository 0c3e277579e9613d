"""Signatures, calls and returns as LLVM IR.

What LLVM has no word for is said in its words: results that find no register are stored where a trailing pointer
argument says; an i128 is returned as its two halves, behind an unused i64 if its register would be odd; a promised
extension is made here, since it is of 64 bits. Where each value goes is the executor's to say (:func:`passing`), which
stands for the callers and callees there are; that LLVM's own tables agree with it is what running the code shows.

The convention ``tail`` is LLVM's ``tailcc``, in which a function takes its stack arguments along when it returns. On
AArch64 these are the same bytes; on x86-64 LLVM takes 8 more than the executor and Cranelift do, to keep the stack
aligned. There ``tail`` stays inside the case: the executor enters by a wrapper of C's convention, which is the same
as long as no argument is on the stack, and so are calls to functions from outside.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.errors import Unsupported
from backend.ir.entities import AbiParam, Inst, Signature, Value
from backend.ir.rules import callee_signature
from backend.ir.types import I64, I128, Type
from backend.lower.calls import extends_alike
from fuzzer.execute.conventions import Convention, in_dialect
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import Passing, passing
from fuzzer.targets.llvm_faults import refuse_faulty
from fuzzer.targets.llvm_types import EXTEND, passed_as

if TYPE_CHECKING:
    from fuzzer.targets.llvm_ir import Module, Translator

_TAIL: Final = "tailcc "
_CONVENTIONS: Final = {"": "", "system_v": "", "fast": "", "cold": "", "tail": _TAIL}
"""CLIF's calling conventions as LLVM's. What ``fast`` and ``cold`` mean is the compiler's affair; the executor takes
them for C's."""
_PRIVATE_TAIL: Final = frozenset({"x86_64"})
"""ISAs on which LLVM's ``tailcc`` is not what the executor calls ``tail``."""
TAIL_CALLS: Final = frozenset({"return_call", "return_call_indirect"})
NO_TAILS: Final = frozenset({"riscv64", "s390x", "arm", "mips64", "ppc64le", "loongarch64"})
"""ISAs for which LLVM 22 has no ``tailcc``: it ends the process with an error."""
_ANY: Final = Convention(
    arguments=tuple(range(64)),
    results=tuple(range(64)),
    saved=(),
    destroyed=(),
    float_arguments=tuple(range(64)),
    float_results=tuple(range(64)),
    results_at_most=64,
    pairs="any",
    gives_back=False,
)
_NOBODYS: Final = replace(
    MACHINES["aarch64"], conventions=dict.fromkeys(("", "system_v", "fast", "cold"), _ANY)
)
"""In place of a machine that there is not: who calls a function that nobody runs need not know where its values are, so
LLVM is told their types and no more."""
_IN_XMM: Final = 2
"""Floats among results that x86-64 has in SSE registers; LLVM returns more of them in those of x87."""
_SRET: Final = "ptr sret([0 x i8])"
AREA: Final = "%area"
"""The parameter with the address of the results that are in no register."""


class Shape(NamedTuple):
    """A signature in LLVM's words. ``convention``: followed by a space, or ""; ``result``: the type that is returned;
    ``fields``: what it is made of; ``params``: types with their attributes, and the CLIF parameter of each, -1 for the
    area's address; ``slots``: for each piece of the results its field, -1 if it is in the area."""

    convention: str
    result: str
    fields: tuple[str, ...]
    params: tuple[tuple[str, int], ...]
    slots: tuple[int, ...]
    passing: Passing

    @property
    def types(self) -> str:
        return ", ".join(type_ for type_, _ in self.params)

    @property
    def interface(self) -> tuple[str, str, str]:
        """What caller and callee must agree in."""
        return self.convention, self.result, self.types


def is_passed(types: Sequence[Type], isa: str) -> bool:
    """Can a function give results of these types?"""
    try:
        _placed(Signature((), tuple(map(AbiParam, types))), isa)
    except ValueError:
        return False
    return True


def _placed(signature: Signature, isa: str, dialect: str = "") -> Passing:
    if dialect:
        name = in_dialect(dialect, signature.callconv)
        signature = Signature(signature.params, signature.returns, name)
    return passing(signature, MACHINES.get(isa, _NOBODYS))


@cache
def shape_of(signature: Signature, isa: str, dialect: str = "") -> Shape:
    """By the platform's convention, or by that of a ``dialect``. Unsupported for what can't be said."""
    convention = _CONVENTIONS.get(signature.callconv)
    if convention is None:
        raise Unsupported(f"calling convention {signature.callconv}")
    if convention == _TAIL and isa in NO_TAILS:
        raise Unsupported(f"calling convention {signature.callconv} on {isa}")
    try:
        placed = _placed(signature, isa, dialect)
    except ValueError as error:
        raise Unsupported(str(error)) from None
    if placed.convention.context:
        return _native(signature, convention, placed, isa)
    fields: list[str] = []
    slots: list[int] = []
    ints = 0
    for piece in placed.results:
        if piece.register < 0:
            slots.append(-1)
            continue
        if not piece.is_float:
            fields += ["i64"] * (piece.register - ints)
            ints = piece.register + 1
        slots.append(len(fields))
        fields.append(_piece_type(signature.returns[piece.value]))
    result = _struct(fields)
    # LLVM wants the pointer to results first, which does not change its register.
    order = sorted(
        range(len(signature.params)), key=lambda n: signature.params[n].purpose != "sret"
    )
    params = [
        (_SRET if signature.params[n].purpose == "sret" else passed_as(signature.params[n]), n)
        for n in order
    ]
    if params[1:2] and params[1][0] == _SRET:
        raise Unsupported("two pointers to results")
    if result != "void" and params and params[0][0] == _SRET:
        raise Unsupported("results beside a pointer to results")
    if placed.area:
        params.append(("ptr", -1))
    return Shape(convention, result, tuple(fields), tuple(params), tuple(slots), placed)


def _native(signature: Signature, convention: str, placed: Passing, isa: str) -> Shape:
    """As LLVM would have it, where only LLVM calls the functions that it compiles: every piece of the results is a
    field, whatever fits in registers."""
    fields = [_piece_type(signature.returns[piece.value]) for piece in placed.results]
    if isa == "x86_64" and sum(field in ("float", "double") for field in fields) > _IN_XMM:
        raise Unsupported("a third float among results, which x87 would make another NaN of")
    params = [(passed_as(param), n) for n, param in enumerate(signature.params)]
    slots = tuple(range(len(fields)))
    return Shape(convention, _struct(fields), tuple(fields), tuple(params), slots, placed)


def _struct(fields: Sequence[str]) -> str:
    """The type of what has these fields."""
    return "void" if not fields else fields[0] if len(fields) == 1 else f"{{ {', '.join(fields)} }}"


def _piece_type(result: AbiParam) -> str:
    """The type of one piece of a result."""
    return "i64" if result.type is I128 else passed_as(result)


# -- the function's own side -----------------------------------------------------------------------------------


def refuse_faulty_function(low: Translator) -> None:
    """Unsupported if LLVM is known to compile functions like this one wrongly."""
    if low.shape.convention == _TAIL:
        refuse_faulty(low.module, "function", low.function.signature, low.function.signature)


def parameters(low: Translator) -> tuple[str, list[str]]:
    """The parameter list of the function, and the lines that make its values of them."""
    signature, values = low.function.signature, low.function.entry.params
    names: list[str] = []
    lines: list[str] = []
    for type_, number in low.shape.params:
        if number < 0:
            names.append(f"{type_} {AREA}")
            continue
        value, param = values[number], signature.params[number]
        plain = type_ == low.type_of(value)
        name = low.name_of(value) if plain else f"%p{number}"
        names.append(f"{type_} {name}")
        if type_ == _SRET:
            lines.append(f"  {low.name_of(value)} = ptrtoint ptr {name} to i64")
        elif not plain:
            lines.append(f"  {low.name_of(value)} = trunc {type_} {name} to {param.type.name}")
    return ", ".join(names), lines


def return_(low: Translator, inst: Inst) -> None:
    shape = low.shape
    whole, names = "poison", dict[int, str]()
    pieces = _pieces(low, inst.args, low.function.signature.returns)
    for (type_, name), slot, piece in zip(pieces, shape.slots, shape.passing.results, strict=True):
        if slot < 0:
            place = low.temporary(f"getelementptr i8, ptr {AREA}, i64 {piece.offset}")
            low.emit(f"store {type_} {name}, ptr {place}, align 1")
        else:
            names[slot] = name
    if shape.result == "void":
        low.emit("ret void")
        return
    if len(shape.fields) == 1:
        whole = names[0]
    else:
        for slot, type_ in enumerate(shape.fields):
            part = names.get(slot, "poison")
            whole = low.temporary(f"insertvalue {shape.result} {whole}, {type_} {part}, {slot}")
    low.emit(f"ret {shape.result} {whole}")


def _pieces(
    low: Translator, values: Sequence[Value], params: Sequence[AbiParam]
) -> list[tuple[str, str]]:
    """Type and name of each piece of some results."""
    pieces: list[tuple[str, str]] = []
    for value, param in zip(values, params, strict=True):
        if param.type is I128:
            high = low.temporary(f"lshr i128 {low.name_of(value)}, 64")
            halves = (low.name_of(value), high)
            pieces += [("i64", low.temporary(f"trunc i128 {half} to i64")) for half in halves]
        else:
            pieces.append(_extended(low, value, param))
    return pieces


def _extended(low: Translator, value: Value, param: AbiParam) -> tuple[str, str]:
    """Type and name of a value as it is passed."""
    to, type_, name = passed_as(param), low.type_of(value), low.name_of(value)
    if to != type_:
        name = low.temporary(f"{EXTEND[param.extension]} {type_} {name} to {to}")
    return to, name


# -- the caller's side -----------------------------------------------------------------------------------------


def func_addr(low: Translator, inst: Inst) -> None:
    if inst.type is not I64:
        raise Unsupported(f"func_addr.{inst.type}")
    signature = callee_signature(low.function, inst)
    assert signature is not None  # the verifier's rule
    name = low.function.functions[inst.ref].name
    shape = low.module.shape_of(signature)
    _refuse_faulty_outside(low, name, signature, shape)
    if _is_private(low, name, shape):
        raise Unsupported("the address of a function from outside that is of the convention tail")
    low.result(inst, f"ptrtoint ptr {low.module.callee(name, shape)} to i64")


def refuse_faulty_entry(module: Module, signature: Signature, shape: Shape) -> None:
    """Unsupported if the entry by context, which has no arguments on the stack, would call the function wrongly."""
    if shape.convention == _TAIL:
        refuse_faulty(module, "call", signature, Signature())


def _refuse_faulty_outside(low: Translator, name: str, signature: Signature, shape: Shape) -> None:
    """Unsupported if what stands in place of a function from outside would be compiled wrongly."""
    outside = low.module.by_context and name not in low.module.functions
    if outside and shape.convention == _TAIL:
        refuse_faulty(low.module, "function", signature, signature)


def _is_private(low: Translator, name: str, shape: Shape) -> bool:
    """Is it from outside, and of a convention that does not reach outside?"""
    if low.module.by_context or low.isa not in _PRIVATE_TAIL:
        return False
    return shape.convention == _TAIL and name not in low.module.functions


def call(low: Translator, inst: Inst) -> None:
    signature = callee_signature(low.function, inst)
    assert signature is not None  # the verifier's rule
    shape, target = _callee(low, inst, signature)
    if shape.convention == _TAIL:
        refuse_faulty(low.module, "call", signature, low.function.signature)
    text = (
        f"call {shape.convention}{shape.result} {target}({_arguments(low, inst, signature, shape)})"
    )
    if shape.result == "void":
        low.emit(text)
        made = ""
    else:
        made = low.temporary(text)
    pieces: list[str] = []
    types = [_piece_type(signature.returns[piece.value]) for piece in shape.passing.results]
    for type_, slot, piece in zip(types, shape.slots, shape.passing.results, strict=True):
        if slot < 0:
            place = low.temporary(f"getelementptr i8, ptr %results, i64 {piece.offset}")
            pieces.append(low.temporary(f"load {type_}, ptr {place}, align 1"))
        elif len(shape.fields) == 1:
            pieces.append(made)
        else:
            pieces.append(low.temporary(f"extractvalue {shape.result} {made}, {slot}"))
    _join(low, inst, signature.returns, pieces)


def _join(low: Translator, inst: Inst, returns: Sequence[AbiParam], pieces: list[str]) -> None:
    """The results of their pieces."""
    rest = iter(pieces)
    for number, result in enumerate(returns):
        piece, type_ = next(rest), result.type
        if type_ is I128:
            lower = low.temporary(f"zext i64 {piece} to i128")
            upper = low.temporary(f"zext i64 {next(rest)} to i128")
            upper = low.temporary(f"shl i128 {upper}, 64")
            low.result(inst, f"or i128 {lower}, {upper}", number)
        elif passed_as(result) != low.type_of(inst.results[number]):
            low.result(inst, f"trunc {passed_as(result)} {piece} to {type_.name}", number)
        else:
            # An operation that changes nothing gives the value its name.
            own = low.type_of(inst.results[number])
            low.result(inst, f"bitcast {own} {piece} to {own}", number)


def _callee(low: Translator, inst: Inst, signature: Signature) -> tuple[Shape, str]:
    """Who is called, and how."""
    shape = low.module.shape_of(signature)
    if inst.ref < 0:
        address = low.temporary(f"inttoptr i64 {low.name_of(inst.args[0])} to ptr")
        return shape, address
    name = low.function.functions[inst.ref].name
    _refuse_faulty_outside(low, name, signature, shape)
    if _is_private(low, name, shape):
        if shape.passing.stack:
            raise Unsupported("stack arguments of a function from outside that would pop them")
        shape = shape._replace(convention="")
    return shape, low.module.callee(name, shape)


def _arguments(
    low: Translator, inst: Inst, signature: Signature, shape: Shape, area: str = ""
) -> str:
    """The argument list. ``area``: where results that are in no register go, if not to the caller's frame."""
    args = inst.args[inst.ref < 0 :]
    texts: list[str] = []
    for type_, number in shape.params:
        if number < 0:
            if not area:
                low.area = max(low.area, shape.passing.area)
            texts.append(f"ptr {area or '%results'}")
        elif type_ == _SRET:
            pointer = low.temporary(f"inttoptr i64 {low.name_of(args[number])} to ptr")
            texts.append(f"{type_} {pointer}")
        else:
            texts.append(" ".join(_extended(low, args[number], signature.params[number])))
    return ", ".join(texts)


def return_call(low: Translator, inst: Inst) -> None:
    signature = callee_signature(low.function, inst)
    assert signature is not None  # the verifier's rule
    own = low.shape
    shape, target = _callee(low, inst, signature)
    if own.convention != _TAIL or signature.callconv != low.function.signature.callconv:
        raise Unsupported("a tail call between other conventions than tail")
    if not extends_alike(low.function.signature, signature):
        raise Unsupported("a tail call of a function that does not extend its results")
    if low.module.dialect and shape_of(signature, low.isa).passing.area:
        raise Unsupported("a tail call with results that LLVM puts in memory")
    if (own.result, own.slots) != (shape.result, shape.slots):
        raise Unsupported("a tail call of a function with other results")
    if _SRET in (own.types, shape.types) or any(
        t == _SRET for t, _ in (*own.params, *shape.params)
    ):
        raise Unsupported("a tail call with a pointer to results")
    how = "call"
    if shape.convention == _TAIL:
        how = "musttail call"
        refuse_faulty(low.module, how, signature, low.function.signature)
    text = f"{how} {shape.convention}{shape.result} {target}({_arguments(low, inst, signature, shape, AREA)})"
    if shape.result == "void":
        low.emit(text)
        low.emit("ret void")
    else:
        low.emit(f"ret {shape.result} {low.temporary(text)}")


def entry_wrapper(name: str, shape: Shape, isa: str) -> str:
    """The text of a function ``@entry`` of C's convention that calls ``name``; "" if the executor can do that."""
    if shape.convention != _TAIL or isa not in _PRIVATE_TAIL:
        return ""
    if shape.passing.stack:
        raise Unsupported(
            "stack arguments of a function that pops them otherwise than the executor expects"
        )
    if shape.passing.given_back:
        raise Unsupported("a pointer to results of a function that is wrapped")
    params = ", ".join(f"{type_} %p{n}" for n, (type_, _) in enumerate(shape.params))
    call = f"call {shape.convention}{shape.result} {name}({params})"
    body = (
        f"  {call}\n  ret void"
        if shape.result == "void"
        else f"  %r = {call}\n  ret {shape.result} %r"
    )
    return f"define dso_local {shape.result} @entry({params}) #0 {{\n{body}\n}}\n"


METHODS: Final[dict[str, Callable[[Translator, Inst], None]]] = {
    "return": return_,
    "func_addr": func_addr,
    **dict.fromkeys(("call", "call_indirect"), call),
    **dict.fromkeys(TAIL_CALLS, return_call),
}
