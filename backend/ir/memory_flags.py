"""Memory flags as text, read and written by loads, stores and global values alike.

Order on input is free; on output it is trap, aligned, readonly, can_move, byte order, alias region.
"""

from __future__ import annotations

from typing import Final

from backend.ir.cursor import Cursor
from backend.ir.entities import NO_FLAGS, MemFlags
from backend.ir.opcodes import TRAP_CODES

DEFAULT_TRAP: Final = "heap_oob"
"""The trap code of a memory access that names none; it is not printed."""

_CHANGES: Final[dict[str, tuple[str, object]]] = {
    "notrap": ("trap", None),
    **{code: ("trap", code) for code in TRAP_CODES},
    "aligned": ("aligned", True),
    "readonly": ("readonly", True),
    "can_move": ("can_move", True),
    "little": ("endian", "little"),
    "big": ("endian", "big"),
    "heap": ("alias", "heap"),
    "table": ("alias", "table"),
    "vmctx": ("alias", "vmctx"),
    "checked": ("checked", True),
}


def parse_flags(cursor: Cursor) -> MemFlags:
    """The flags that stand here, perhaps none."""
    changes: dict[str, object] = {}
    while True:
        change = _CHANGES.get(cursor.text)
        if change is not None:
            field, value = change
            if changes.get(field, value) != value:
                cursor.fail(f"the flag {cursor.text} contradicts one before it")
            changes[field] = value
            cursor.next()
        elif cursor.at_entity("region"):
            changes["region"] = cursor.entity("region")
        else:
            break
    return NO_FLAGS._replace(**changes) if changes else NO_FLAGS  # type: ignore[arg-type]  # the table's rows


def print_flags(flags: MemFlags) -> str:
    """Canonical text with a blank after it; "" for no flags."""
    if flags is NO_FLAGS:
        return ""
    words = []
    if flags.trap != DEFAULT_TRAP:
        words.append("notrap" if flags.trap is None else flags.trap)
    words += [name for name in ("aligned", "readonly", "can_move") if getattr(flags, name)]
    words += [word for word in (flags.endian, flags.alias) if word]
    if flags.region is not None:
        words.append(f"region{flags.region}")
    if flags.checked:
        words.append("checked")
    return " ".join(words) + " " if words else ""
