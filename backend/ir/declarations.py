"""The preamble of a function: signatures, slots, globals, functions, constants; read and written.

One row a kind of declaration: its prefix, the table of Function it goes to, how it is read, how it is
printed. The rows' order is the canonical order of the preamble.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from backend.ir.cursor import Cursor
from backend.ir.entities import AbiParam, FunctionRef, Signature, StackSlot
from backend.ir.lexer import STRING
from backend.ir.literals import print_hex_bytes, print_int, print_offset
from backend.ir.memory_flags import parse_flags, print_flags

CALL_CONVENTIONS: Final = frozenset({
    "fast", "system_v", "tail", "windows_fastcall", "apple_aarch64", "probestack", "winch",
    "cold", "preserve_all",
})  # fmt: skip
"""``cold`` is 0.120's, ``preserve_all`` today's."""

_EXTENSIONS: Final = frozenset({"uext", "sext"})
_PURPOSES: Final = frozenset({"sret", "vmctx"})


# -- signatures --------------------------------------------------------------------------------------------


def parse_signature(cursor: Cursor) -> Signature:
    """``(i32, i64 uext) -> i32 system_v``"""
    cursor.take("(")
    params: list[AbiParam] = []
    while cursor.text != ")":
        params.append(_parse_param(cursor))
        if cursor.text != ")":
            cursor.take(",")
    cursor.take(")")
    returns: list[AbiParam] = []
    if cursor.accept("->"):
        returns.append(_parse_param(cursor))
        while cursor.accept(","):
            returns.append(_parse_param(cursor))
    callconv = cursor.next() if cursor.text in CALL_CONVENTIONS else ""
    return Signature(tuple(params), tuple(returns), callconv)


def _parse_param(cursor: Cursor) -> AbiParam:
    type_ = cursor.type()
    extension = purpose = ""
    while True:
        if cursor.text in _EXTENSIONS:
            extension = cursor.next()
        elif cursor.text in _PURPOSES:
            purpose = cursor.next()
        elif cursor.text == "sarg":
            cursor.next()
            cursor.take("(")
            purpose = f"sarg({cursor.unsigned(32)})"
            cursor.take(")")
        elif not cursor.accept("normal"):
            return AbiParam(type_, extension, purpose)


def _print_param(param: AbiParam) -> str:
    return " ".join(word for word in (param.type.name, param.extension, param.purpose) if word)


def print_signature(signature: Signature) -> str:
    """Canonical text: ``(i32) -> i32 fast``."""
    text = f"({', '.join(map(_print_param, signature.params))})"
    if signature.returns:
        text += f" -> {', '.join(map(_print_param, signature.returns))}"
    return f"{text} {signature.callconv}" if signature.callconv else text


# -- slots ---------------------------------------------------------------------------------------------------


def _parse_slot(cursor: Cursor) -> StackSlot:
    cursor.take("explicit_slot")
    size, align, key = cursor.unsigned(32), 1, None
    while cursor.accept(","):
        if cursor.accept("align"):
            cursor.take("=")
            at = cursor.at
            align = cursor.unsigned(32)
            if align == 0 or align & (align - 1):
                cursor.fail("an alignment is a power of two", at)
        else:
            cursor.take("key")
            cursor.take("=")
            key = cursor.unsigned(64)
    return StackSlot(size, align, key)


def _print_slot(slot: StackSlot) -> str:
    text = f"explicit_slot {slot.size}"
    if slot.align > 1:
        text += f", align = {slot.align}"
    return text if slot.key is None else f"{text}, key = {slot.key}"


def _parse_dynamic_slot(cursor: Cursor) -> str:
    cursor.take("explicit_dynamic_slot")
    return f"explicit_dynamic_slot dt{cursor.entity('dt')}"


def _parse_dynamic_type(cursor: Cursor) -> str:
    at = cursor.at
    base = cursor.type()
    if not base.is_vector or base.dynamic:
        cursor.fail("a dynamic type is made from a fixed vector", at)
    cursor.take("*")
    return f"{base}*gv{cursor.entity('gv')}"


# -- globals, functions, constants, regions ------------------------------------------------------------------


def _parse_global(cursor: Cursor) -> str:
    kind = cursor.text
    if kind not in ("vmctx", "load", "iadd_imm", "symbol", "dyn_scale_target_const"):
        cursor.expected("vmctx, load, iadd_imm, symbol or dyn_scale_target_const")
    cursor.next()
    if kind == "vmctx":
        return kind
    if kind == "symbol":
        words = [word for word in ("colocated", "tls") if cursor.accept(word)]
        name = cursor.external_name()
        return " ".join(["symbol", *words, name]) + print_offset(cursor.offset())
    cursor.take(".")
    head = f"{kind}.{cursor.type()}"
    if kind == "load":
        flags = print_flags(parse_flags(cursor))
        return f"{head} {flags}gv{cursor.entity('gv')}{print_offset(cursor.offset())}"
    if kind == "iadd_imm":
        base = cursor.entity("gv")
        cursor.take(",")
        return f"{head} gv{base}, {print_int(cursor.integer(64), 64)}"
    return head


def _parse_function(cursor: Cursor) -> FunctionRef:
    colocated = cursor.accept("colocated")
    patchable = cursor.accept("patchable")
    name = cursor.external_name()
    sig = cursor.entity("sig") if cursor.at_entity("sig") else parse_signature(cursor)
    return FunctionRef(name, sig, colocated, patchable)


def _print_function(ref: FunctionRef) -> str:
    head = "colocated " * ref.colocated + "patchable " * ref.patchable + ref.name
    return f"{head} sig{ref.sig}" if isinstance(ref.sig, int) else head + print_signature(ref.sig)


def _parse_constant(cursor: Cursor) -> bytes:
    if cursor.text[:1] == "0":
        return cursor.hex_bytes(None)
    if cursor.text == "[":
        cursor.expected("a type before the lanes")
    type_ = cursor.type()
    if type_.is_vector:
        return cursor.vector(type_)
    return cursor.hex_bytes(type_.bytes)


def _parse_region(cursor: Cursor) -> str:
    number = cursor.unsigned(32)
    if cursor.tokens.kinds[cursor.at] != STRING:
        cursor.expected("a description in double quotes")
    return f"{number} {cursor.next()}"


class Declaration(NamedTuple):
    """``table``: the attribute of Function that holds this kind, by number."""

    table: str
    parse: Callable[[Cursor], Any]
    print: Callable[[Any], str]


DECLARATIONS: Final[dict[str, Declaration]] = {
    "ss": Declaration("stack_slots", _parse_slot, _print_slot),
    "gv": Declaration("globals", _parse_global, str),
    "dt": Declaration("dynamic_types", _parse_dynamic_type, str),
    "dss": Declaration("dynamic_slots", _parse_dynamic_slot, str),
    "region": Declaration("regions", _parse_region, str),
    "sig": Declaration("signatures", parse_signature, print_signature),
    "fn": Declaration("functions", _parse_function, _print_function),
    "const": Declaration("constants", _parse_constant, print_hex_bytes),
}
