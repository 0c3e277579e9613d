"""What a compiler hands over: bytes, and what one must know to run and audit them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.machine.places import Places


@dataclass(slots=True)
class Reloc:
    """``kind`` (ISA's name of the relocation) at byte ``offset`` against ``symbol`` + ``addend``.

    ``offset`` is of the first byte that is patched; a distance is from there, as in ELF.
    """

    offset: int
    kind: str
    symbol: str
    addend: int


@dataclass(slots=True)
class BufferAudit:
    """The code buffer's own account of itself, for the fuzzer's buffer check to hold it to.

    ``spans``: (offset, length, what) of every emitted item in order: an instruction's row name,
    ``island``, ``constant``, ``padding``. ``fixups``: (offset patched, offset of the instruction it
    belongs to, target offset, kind). ``capacity``: bytes reserved; ``length``: bytes claimed;
    ``taken``: how often the code was handed out; ``red_zone_damage``: what was found written outside.
    """

    capacity: int
    length: int
    taken: int
    spans: list[tuple[int, int, str]]
    fixups: list[tuple[int, int, int, str]]
    red_zone_damage: list[str]


@dataclass(slots=True)
class CompiledCode:
    """One compiled function, entry at byte 0 unless ``symbols`` says otherwise, perhaps with others behind it.

    ``traps``: (offset, trap code) of every instruction that may trap, by offset; an offset with two
    codes appears twice. ``data_ranges``: byte ranges that are data, not instructions; ``mixed``: there may be more of
    them, of which the compiler says nothing. ``texts``: if the
    compiler knows, what each instruction was meant to be: (offset, text in Capstone's syntax as the
    instruction reads when it stands at address 0, so that equal bytes have equal texts).
    ``places``: if the compiler knows, what became of each CLIF instruction and where its values are;
    computed when asked. ``stages``: name -> function that prints the stage. ``rule_hits``: numbers of
    the lowering rules that fired; ``row_hits``: indices of the machine-instruction rows emitted.
    ``dialect``: by whose rules functions are called where CLIF leaves that open (fuzzer/execute/conventions.py).
    """

    isa: str
    code: bytes
    relocs: list[Reloc] = field(default_factory=list)
    traps: list[tuple[int, str]] = field(default_factory=list)
    symbols: dict[str, int] = field(default_factory=dict)
    data_ranges: list[tuple[int, int]] = field(default_factory=list)
    mixed: bool = False
    texts: Callable[[], list[tuple[int, str]]] | None = None
    places: Callable[[], Places] | None = None
    stages: dict[str, Callable[[], str]] = field(default_factory=dict)
    audit: BufferAudit | None = None
    rule_hits: set[int] = field(default_factory=set)
    row_hits: set[int] = field(default_factory=set)
    dialect: str = ""
