"""Loads and stores: of the data region, mostly in bounds, and of stack slots, always.

A float that may be a NaN of open bits is stored as it is only where no other access can see a part of it: in the last
quarter of the data region, of which one half is for aligned f32 and one for aligned f64, and in slots that are kept for
one float type. Anything else in memory has no open bits.

Some loads have one user, close behind: what instruction selectors make one instruction of, unless what stands in
between forbids it.

A function whose pointer is its context (``vmctx``) also has global values, some of them loaded from a table of pointers
in the data region. No drawn store reaches the table, so they are pointers into the region at any time.
"""

from __future__ import annotations

from typing import Final, Literal

from backend.ir.entities import Value
from backend.ir.opcodes import Opcode, opcode_named
from backend.ir.types import F32, F64, I32, I64, Type
from fuzzer.case import DATA_BASE
from fuzzer.generate.draft import Draft
from fuzzer.generate.operations import TYPES, Operation

_IADD: Final = opcode_named("iadd")
_BAND: Final = opcode_named("band")
_ISHL: Final = opcode_named("ishl")
_UEXTEND: Final = opcode_named("uextend")
_SEXTEND: Final = opcode_named("sextend")
_LOAD: Final = opcode_named("load")
_STORE: Final = opcode_named("store")
_STACK_ADDR: Final = opcode_named("stack_addr")
_CHANGES: Final = (*map(opcode_named, ("iadd", "isub", "band", "bor", "bxor")),)
"""What is done to a value in memory, for it to be stored where it was loaded from."""
_FOLD_BYTES: Final = 8
"""The widest value of those that are loaded and used at once."""
_GLOBAL_VALUE: Final = opcode_named("global_value")


def access(g: Draft, operation: Operation) -> None:
    """A load or store of the data region, or, without one, of a slot."""
    if g.pointer is None:
        slot_access(g, operation)
        return
    source, op = g.source, operation.op
    assert op is not None
    type_ = g.draw_type()
    if type_ not in operation.forms:
        type_ = operation.types[TYPES.index(type_) % len(operation.types)]
    if type_.is_float and source.bool(0.6):
        _load_or_store(g, op, type_, *_kept_address(g, type_), keep=True)
        return
    width = _access_bytes(op, type_)
    address, room = _data_address(g, width)
    offset = 0 if source.bool(0.5) else source.int(0, 255) % (room - width + 1)
    if source.bool(0.02):
        offset = (4096 - width // 2, 8192, -8, 0x7FFFFFF8)[source.int(0, 3)]
    _load_or_store(g, op, type_, address, offset)


_KEPT: Final = {F32: 3072, F64: 3584}
"""Where the bytes begin that only accesses of one float type reach."""
_KEPT_BYTES: Final = 512


def _kept_address(g: Draft, type_: Type) -> tuple[Value, int]:
    """Where only floats of this type are: an address and an offset."""
    source, pointer = g.source, g.pointer
    assert pointer is not None
    start, count = _KEPT[type_], _KEPT_BYTES // type_.bytes
    if source.bool(0.6):
        return pointer, start + type_.bytes * (source.int(0, 127) % count)
    index = g.emit(_BAND, I64, (g.operand(I64), g.constant(I64, count - 1)))
    index = g.emit(_ISHL, I64, (index, g.constant(I64, type_.bytes.bit_length() - 1)))
    if source.bool(0.5):
        return g.emit(_IADD, I64, (pointer, index)), start
    first = g.emit(_IADD, I64, (pointer, g.constant(I64, start)))
    return g.emit(_IADD, I64, (first, index)), 0


def _data_address(g: Draft, width: int) -> tuple[Value, int]:
    """An address in the data region, and how many bytes are in bounds from it."""
    source, pointer = g.source, g.pointer
    assert pointer is not None
    if g.context and source.bool(0.5):
        return _global(g), 2048
    way = source.int(0, 7)
    if way < 2:
        return pointer, 4096
    if way == 6:
        step = g.constant(I64, source.int(0, 300))
        return g.emit(_IADD, I64, (pointer, step)), 2048
    if way == 7:
        return g.constant(I64, DATA_BASE + 1024), 3072
    address = g.emit(_IADD, I64, (pointer, _index(g, way, width)))
    if source.bool(0.15):
        return g.emit(_IADD, I64, (address, g.constant(I64, source.int(0, 255)))), 1792
    return address, 2048


_TABLE: Final = 2816
"""Where the table of pointers begins: behind all that stores to integers reach, before what is kept for floats."""
_NEAR: Final = (0, 8, 264, 1024)
"""Where in the data region the first pointers of the table lead; each of the others leads to one of the first."""
_FLAGS: Final = ("notrap aligned ", "notrap aligned readonly ", "notrap aligned readonly can_move ")
"""Cranelift's reader takes no load in the preamble that may trap or be misaligned."""


def pointers(image: bytes, order: Literal["little", "big"]) -> bytes:
    """The memory image with the table of pointers that global values are loaded from."""
    offsets = (*_NEAR, *(_TABLE + 8 * place for place in range(len(_NEAR))))
    table = b"".join((DATA_BASE + offset).to_bytes(8, order) for offset in offsets)
    return image[:_TABLE] + table + image[_TABLE + len(table) :]


def _global(g: Draft) -> Value:
    """The address that a global value is: of the context, of a place at a distance from it, or one that is loaded;
    less than 2048 bytes into the data region."""
    source = g.source
    number = _declared_global(g, "vmctx")
    way = source.int(0, 7)
    if way > 2:
        loads = 2 if way > 5 else 1
        offset = _TABLE + 8 * source.int(0, len(_NEAR) - 1)
        if loads > 1:
            number = _loaded(g, number, offset + 8 * len(_NEAR))
            offset = 0
        number = _loaded(g, number, offset)
    if way in (1, 2, 4):
        number = _declared_global(g, f"iadd_imm.i64 gv{number}, {source.int(0, 300)}")
    return g.emit(_GLOBAL_VALUE, I64, (), ref=number)


def _loaded(g: Draft, base: int, offset: int) -> int:
    flags = _FLAGS[g.source.int(0, len(_FLAGS) - 1)]
    return _declared_global(g, f"load.i64 {flags}gv{base}{f'+{offset}' if offset else ''}")


def _declared_global(g: Draft, text: str) -> int:
    """The number of the global value in the function, made if it is new."""
    known = g.function.globals
    for number, other in known.items():
        if other == text:
            return number
    known[len(known)] = text
    return len(known) - 1


def _index(g: Draft, way: int, width: int) -> Value:
    """An i64 below 2048: masked, scaled, or extended from 32 bits and perhaps scaled."""
    source = g.source
    if way == 2:
        mask = g.constant(I64, 0x7FF)
        return g.emit(_BAND, I64, (g.operand(I64), mask))
    if way == 3:
        mask = g.constant(I64, 0x7F if width > 8 else 0xFF)
        index = g.emit(_BAND, I64, (g.operand(I64), mask))
        amount = g.constant(I64, width.bit_length() - 1)
        return g.emit(_ISHL, I64, (index, amount))
    mask = g.constant(I32, 0x78 if width > 8 else 0xF8)
    narrow = g.emit(_BAND, I32, (g.operand(I32), mask))
    extend = _UEXTEND if way == 4 else _SEXTEND
    index = g.emit(extend, I64, (narrow,))
    if source.bool(0.5):
        amount = g.constant(I64, source.int(0, width.bit_length() - 1))
        index = g.emit(_ISHL, I64, (index, amount))
    return index


def slot_access(g: Draft, operation: Operation) -> None:
    """A load or store inside a slot's window; without slots, a plain addition."""
    source = g.source
    if not g.windows:
        g.add()
        return
    number, start, window, kept = g.windows[source.int(0, 2) % len(g.windows)]
    store = operation.name in ("stack_store", "store") or operation.name.startswith("istore")
    op = _STORE if store else _LOAD
    type_ = g.draw_type()
    if kept is not None:
        at = start + kept.bytes * (source.int(0, 63) % (window // kept.bytes))
        address = g.emit(_STACK_ADDR, I64, (), ref=number, imm=at)
        _load_or_store(g, op, kept, address, 0, keep=True)
        return
    if type_.bytes > window:
        type_ = I32
    room = window - type_.bytes
    if source.bool(0.3) and room >= 8:
        half = 1 << ((room // 2).bit_length() - 1)
        address = g.emit(_STACK_ADDR, I64, (), ref=number, imm=start)
        mask = g.constant(I64, half - 1)
        index = g.emit(_BAND, I64, (g.operand(I64), mask))
        address = g.emit(_IADD, I64, (address, index))
        offset = source.int(0, 63) % (room - half + 1)
    else:
        at = start + source.int(0, 63) % (room + 1)
        split = source.bool(0.3)
        offset = at if split else 0
        address = g.emit(_STACK_ADDR, I64, (), ref=number, imm=0 if split else at)
    _load_or_store(g, op, type_, address, offset)


def _load_or_store(
    g: Draft, op: Opcode, type_: Type, address: Value, offset: int, *, keep: bool = False
) -> None:
    """``keep``: where only floats of this type are, so that their bits may be open."""
    if op.writes:
        value = g.operand(type_)
        g.effect(op, type_, (value if keep else g.closed(value), address), imm=offset)
        return
    value = g.emit(op, type_, (address,), imm=offset)
    if keep:
        g.open.add(value)
    g.scope[type_].append(value)


def fold(g: Draft, operation: Operation) -> None:
    """Load a value and use it once: to change it where it was loaded from, or for a result that is stored, too. Now and
    then another store stands between the load and its user, and sees to it that they stay two."""
    source = g.source
    place = _any_place(g)
    if place is None:
        g.add()
        return
    address, offset = place
    type_ = g.draw_type()
    if type_.bytes > _FOLD_BYTES:
        type_ = I64
    value = g.emit(_LOAD, type_, (address,), imm=offset)
    way = source.int(0, 7)
    if way == 7:
        g.effect(_STORE, type_, (g.closed(g.operand(type_)), address), imm=offset)
    if way < 3 and type_.is_int:
        op = _CHANGES[source.int(0, len(_CHANGES) - 1)]
        other = g.drawn_constant(type_) if source.bool(0.4) else g.operand(type_)
        changed = g.emit(op, type_, (value, other))
        g.effect(_STORE, type_, (changed, address), imm=offset)
        return
    choices = g.repertoire.users[type_]
    forms = choices[source.int(0, len(choices) - 1)]
    form = forms[source.int(0, 15) % len(forms)]
    places = [place for place, taken in enumerate(form.operands) if taken is type_]
    at = places[source.int(0, 1) % len(places)]
    args = [value if i == at else g.operand(taken) for i, taken in enumerate(form.operands)]
    (result,) = g.made(form, args, g.draw_keyword(form.op.shape))
    given = form.results[0]
    if given.bytes <= _FOLD_BYTES:
        if g.pointer is not None:
            address, offset = g.pointer, _FOLD_BYTES * source.int(0, 255)
        g.effect(_STORE, given, (g.closed(result), address), imm=offset)
    g.scope[given].append(result)


def _any_place(g: Draft) -> tuple[Value, int] | None:
    """An address and an offset at which there are eight bytes, in bounds but for a rare case; None if there is no
    memory."""
    source = g.source
    if g.pointer is not None:
        address, room = _data_address(g, _FOLD_BYTES)
        if source.bool(0.02):
            return address, 4096 - _FOLD_BYTES // 2
        return address, 0 if source.bool(0.5) else source.int(0, 255) % (room - _FOLD_BYTES + 1)
    open_windows = [w for w in g.windows if w[3] is None and w[2] >= _FOLD_BYTES]
    if not open_windows:
        return None
    number, start, window, _ = open_windows[source.int(0, 2) % len(open_windows)]
    at = start + source.int(0, 63) % (window - _FOLD_BYTES + 1)
    return g.emit(_STACK_ADDR, I64, (), ref=number, imm=at), 0


def initialise_slot(g: Draft, number: int, start: int, window: int, kept: Type | None) -> None:
    """Write every byte of a slot's window, so that no read finds it undefined. ``kept``: see ``Draft.windows``."""
    g.windows.append((number, start, window, kept))
    at = start
    while at < start + window:
        type_ = kept or (I64 if at + 8 <= start + window else I32)
        address = g.emit(_STACK_ADDR, I64, (), ref=number, imm=at)
        g.effect(_STORE, type_, (g.operand(type_), address))
        at += type_.bytes


def _access_bytes(op: Opcode, type_: Type) -> int:
    digits = "".join(c for c in op.name if c.isdigit())
    return int(digits) // 8 if digits else type_.bytes
