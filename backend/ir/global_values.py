"""Global values: ``gvN = vmctx | symbol | iadd_imm | load``, as a base and the steps from it to the value.

A function keeps the right-hand sides as canonical text (:class:`backend.ir.entities.Function`); this reads it.
"""

from __future__ import annotations

from typing import NamedTuple

from backend.errors import Unsupported
from backend.ir.cursor import Cursor
from backend.ir.entities import NO_FLAGS, Function, MemFlags
from backend.ir.lexer import Tokens
from backend.ir.memory_flags import parse_flags
from backend.ir.types import Type


class Parameter(NamedTuple):
    """The base is this parameter of the function, by position."""

    position: int


class Symbol(NamedTuple):
    """The base is the address of whatever has this name, a function or data."""

    name: str


class Step(NamedTuple):
    """Add ``offset`` modulo 2**64, then, if ``type`` is not None, load a value of that type from there, with these
    flags."""

    offset: int
    type: Type | None = None
    flags: MemFlags = NO_FLAGS


def chain_of(function: Function, number: int) -> tuple[Parameter | Symbol, list[Step]]:
    """(base, steps) of ``gvN``.

    Unsupported if it rests on what nobody knows: thread-local symbols, no parameter that is the vmctx.
    """
    steps: list[Step] = []
    seen: set[int] = set()
    while True:
        if number in seen or number not in function.globals:
            raise Unsupported(f"gv{number} rests on itself or on nothing")
        seen.add(number)
        cursor = Cursor(Tokens(function.globals[number]))
        kind = cursor.next()
        if kind == "vmctx":
            for position, param in enumerate(function.signature.params):
                if param.purpose == "vmctx":
                    return Parameter(position), steps[::-1]
            raise Unsupported("vmctx of a function without such a parameter")
        if kind == "symbol":
            cursor.accept("colocated")
            if cursor.text == "tls":
                raise Unsupported("a thread-local symbol")
            base = Symbol(cursor.external_name())
            steps.append(Step(cursor.offset()))
            return base, steps[::-1]
        if kind not in ("load", "iadd_imm"):
            raise Unsupported(f"a global value of kind {kind}")
        cursor.take(".")
        type_ = cursor.type()
        if kind == "load":
            flags = parse_flags(cursor)
            if flags.endian:
                raise Unsupported("a global value in a byte order of its own")
            number = cursor.entity("gv")
            # Steps are collected backwards: what is done last comes first.
            steps.append(Step(cursor.offset(), type_, flags))
        else:
            number = cursor.entity("gv")
            cursor.take(",")
            steps.append(Step(cursor.integer(64)))
