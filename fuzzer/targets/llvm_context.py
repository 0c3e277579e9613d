"""Calls by way of memory (``Convention.context``): for ISAs whose conventions the executor does not know, and on
others where that is drawn.

The executor enters by a function that gets the addresses of the arguments and of the results: it calls the case's own
by LLVM's convention. A function from outside is called the same way, by one that is *inside* in its place and has its
signature. So LLVM compiles callers and callees by the platform's convention, of any signature, and both stand against
each other; where each value goes by it is LLVM's own affair.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fuzzer.execute.conventions import CONTEXT, CONVENTIONS, in_dialect

if TYPE_CHECKING:
    from fuzzer.targets.llvm_calls import Shape

ENTRY: Final = "by context"
"""The symbol of the function that the executor calls."""


def dialect(isa: str, *, wrapped: bool) -> str:
    """Of the conventions by which the executor calls (:mod:`fuzzer.execute.conventions`): that of a wrapper, or ""."""
    return CONTEXT if wrapped and in_dialect(CONTEXT, "") in CONVENTIONS.get(isa, ()) else ""


def is_used(isa: str, *, wrapped: bool) -> bool:
    """Does the executor call by way of memory on ``isa``?"""
    row = in_dialect(CONTEXT, "") if dialect(isa, wrapped=wrapped) else ""
    return isa in CONVENTIONS and bool(CONVENTIONS[isa][row].context)


def inside(name: str) -> str:
    """The symbol of what is called in place of the function ``name`` from outside."""
    return f"{name} by context"


class _Body:
    """The lines of a function that only moves values."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def do(self, text: str) -> None:
        self.lines.append(f"  {text}")

    def make(self, text: str) -> str:
        name = f"%t{len(self.lines)}"
        self.do(f"{name} = {text}")
        return name

    def _slot(self, base: str, offset: int) -> str:
        return self.make(f"getelementptr i8, ptr {base}, i64 {offset}")

    def load(self, base: str, offset: int, type_: str) -> str:
        """A value of ``type_`` that is passed in a slot of 64 bits."""
        word = self.make(f"load i64, ptr {self._slot(base, offset)}, align 8")
        if type_ == "float":
            return self.make(f"bitcast i32 {self.make(f'trunc i64 {word} to i32')} to float")
        if type_ == "double":
            return self.make(f"bitcast i64 {word} to double")
        return word if type_ == "i64" else self.make(f"trunc i64 {word} to {type_}")

    def store(self, base: str, offset: int, type_: str, name: str) -> None:
        if type_ == "float":
            type_, name = "i32", self.make(f"bitcast float {name} to i32")
        elif type_ == "double":
            type_, name = "i64", self.make(f"bitcast double {name} to i64")
        if type_ != "i64":
            name = self.make(f"zext {type_} {name} to i64")
        self.do(f"store i64 {name}, ptr {self._slot(base, offset)}, align 8")

    def text(self, head: str) -> str:
        return "\n".join([f"define dso_local {head} noinline #0 {{", *self.lines, "}"]) + "\n"


def entry(symbol: str, shape: Shape) -> str:
    """The function that the executor enters by, which calls ``symbol``."""
    body = _Body()
    values: dict[int, str] = {}
    types = {number: type_ for type_, number in shape.params}
    for piece in shape.passing.args:
        type_ = types[piece.value]
        if type_ != "i128":
            values[piece.value] = body.load("%args", piece.offset, type_)
            continue
        half = body.make(f"zext i64 {body.load('%args', piece.offset, 'i64')} to i128")
        if piece.shift:
            half = body.make(f"shl i128 {half}, {piece.shift}")
            half = body.make(f"or i128 {values[piece.value]}, {half}")
        values[piece.value] = half
    given = ", ".join(f"{type_} {values[number]}" for type_, number in shape.params)
    call = f"call {shape.convention}{shape.result} {symbol}({given}) noinline"
    if shape.result == "void":
        body.do(call)
    else:
        made = body.make(call)
        for (number, type_), piece in zip(
            enumerate(shape.fields), shape.passing.results, strict=True
        ):
            whole = len(shape.fields) == 1
            part = made if whole else body.make(f"extractvalue {shape.result} {made}, {number}")
            body.store("%results", piece.offset, type_, part)
    body.do("ret void")
    return body.text(f'void @"{ENTRY}"(ptr %args, ptr %results)')


def outside(name: str, shape: Shape) -> str:
    """The function in place of ``name``, and the declaration of that."""
    body = _Body()
    room = max(shape.passing.stack, 8)
    body.do(f"%args = alloca [{room} x i8], align 16")
    body.do(f"%results = alloca [{max(shape.passing.area, 8)} x i8], align 16")
    types = {number: type_ for type_, number in shape.params}
    for piece in shape.passing.args:
        value, type_ = f"%p{piece.value}", types[piece.value]
        if type_ == "i128":
            value = body.make(f"lshr i128 {value}, {piece.shift}")
            type_, value = "i64", body.make(f"trunc i128 {value} to i64")
        body.store("%args", piece.offset, type_, value)
    body.do(f'call void @"{name}"(ptr %args, ptr %results)')
    made = "poison"
    for (number, type_), piece in zip(enumerate(shape.fields), shape.passing.results, strict=True):
        part = body.load("%results", piece.offset, type_)
        if len(shape.fields) == 1:
            made = part
        else:
            made = body.make(f"insertvalue {shape.result} {made}, {type_} {part}, {number}")
    body.do("ret void" if shape.result == "void" else f"ret {shape.result} {made}")
    params = ", ".join(f"{type_} %p{number}" for type_, number in shape.params)
    declared = f'declare void @"{name}"(ptr, ptr) #0\n'
    return declared + body.text(f'{shape.convention}{shape.result} @"{inside(name)}"({params})')
