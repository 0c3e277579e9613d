"""Several functions made one blob of code, in which those that are in it call each other.

The functions stand one after the other, each at a multiple of :data:`ALIGN` bytes, so that what a function aligns in
itself stays aligned. A relocation whose kind is a distance and whose symbol is in the blob is resolved here; an address
is not known before the code has a place, so those are left over, as is what refers to a symbol from outside.

A kind of relocation is a row of the ISA's table of label uses, where it is a distance, or :data:`ABSOLUTE`. Offsets and
addends are those of ELF: the ``addend`` is counted from the bytes that are patched.

What is wrong with one function's buffer is wrong with the joint account of it: its claims are added up so that no
two faults make up for each other.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from backend.errors import BufferError
from backend.machine.buffer import Finished
from backend.machine.compiled import BufferAudit, CompiledCode, Reloc

if TYPE_CHECKING:
    from backend.isa.isa import Isa
    from backend.machine.labels import LabelUse
    from backend.machine.places import Places

ALIGN: Final = 16
"""Bytes; the strictest alignment of a constant."""
ABSOLUTE: Final = "abs64"
"""The relocation of eight bytes that hold an address."""


class Part(NamedTuple):
    """A function as it was compiled by itself."""

    code: CompiledCode
    finished: Finished


def link(parts: Sequence[Part], isa: Isa) -> CompiledCode:
    """One blob of ``parts``; its entry is the first of them. The parts are not to be used any more.

    BufferError if a distance is out of its kind's reach.
    """
    symbols: dict[str, int] = {}
    end = 0
    for part in parts:
        part.finished.base = end + -end % ALIGN
        end = part.finished.base + len(part.finished.code)
        for name, offset in part.code.symbols.items():
            symbols.setdefault(name, part.finished.base + offset)
    uses = isa.label_uses(0)
    left = [_resolve(part, symbols, uses) for part in parts]
    joined = _join(parts, isa.nop.to_bytes(4, "little"))
    joined.symbols = symbols
    joined.relocs = [
        Reloc(reloc.offset + part.finished.base, reloc.kind, reloc.symbol, reloc.addend)
        for part, relocs in zip(parts, left, strict=True)
        for reloc in relocs
    ]
    if parts[0].code.places is not None:
        joined.places = _linked_places(parts[0], parts[0].code.places, uses)
    return joined


def _resolve(part: Part, symbols: dict[str, int], uses: dict[str, LabelUse]) -> list[Reloc]:
    """Patch what can be patched, and say so in the function's own account; the relocations that are left."""
    finished = part.finished
    left: list[Reloc] = []
    code = bytearray(finished.code)
    starts = [span[0] for span in finished.audit.spans]
    for reloc in finished.relocs:
        symbol = symbols.get(reloc.symbol)
        if symbol is None or reloc.kind == ABSOLUTE:
            left.append(reloc)
            continue
        use = uses[reloc.kind]
        at = reloc.offset
        if not 0 <= at <= len(code) - 4:
            raise BufferError(f"a relocation at {at} of {len(code)} bytes")
        target = symbol - finished.base + reloc.addend + use.origin
        word = int.from_bytes(code[at : at + 4], "little")
        code[at : at + 4] = use.patch(word, target - at).to_bytes(4, "little")
        owner = starts[bisect_right(starts, at) - 1]
        finished.audit.fixups.append((at, owner, target, use.name))
    finished.code = bytes(code)
    return left


def _linked_places(
    part: Part, places: Callable[[], Places], uses: dict[str, LabelUse]
) -> Callable[[], Places]:
    """The first function's places, with its resolved relocations in what its rows encode."""
    resolved = {reloc.offset for reloc in part.finished.relocs}
    fixups = [fixup for fixup in part.finished.audit.fixups if fixup[0] in resolved]

    def find() -> Places:
        found = places()
        for at, owner, target, kind in fixups:
            code = found.encoded.get(owner, b"")
            if len(code) >= at - owner + 4:
                word = int.from_bytes(code[at - owner : at - owner + 4], "little")
                patched = uses[kind].patch(word, target - at).to_bytes(4, "little")
                found.encoded[owner] = code[: at - owner] + patched + code[at - owner + 4 :]
        return found

    return find


def _join(parts: Sequence[Part], nop: bytes) -> CompiledCode:
    first = parts[0].code
    code = bytearray()
    joined = CompiledCode(first.isa, b"")
    spans: list[tuple[int, int, str]] = []
    fixups: list[tuple[int, int, int, str]] = []
    damage: list[str] = []
    taken, claims, slack = 1, 0, 1 << 62
    for one, finished in parts:
        base, audit = finished.base, finished.audit
        if pad := base - len(code):
            spans.append((len(code), pad, "padding"))
            if pad % 4:
                joined.data_ranges.append((len(code), len(code) + pad % 4))
            code += bytes(pad % 4) + nop * (pad // 4)
        code += finished.code
        joined.traps += [(at + base, trap) for at, trap in finished.traps]
        joined.data_ranges += [(lo + base, hi + base) for lo, hi in finished.data_ranges]
        spans += [(at + base, size, what) for at, size, what in audit.spans]
        fixups += [
            (at + base, owner + base, to + base, kind) for at, owner, to, kind in audit.fixups
        ]
        name = next(iter(one.symbols), "")
        damage += [f"{name}: {what}" for what in audit.red_zone_damage]
        taken = audit.taken if taken == 1 else taken
        claims = claims or audit.length - len(finished.code)
        slack = min(slack, audit.capacity - audit.length)
        joined.rule_hits |= one.rule_hits
        joined.row_hits |= one.row_hits
    joined.code = bytes(code)
    length = len(code) + claims
    joined.audit = BufferAudit(length + slack, length, taken, spans, fixups, damage)
    texts = [(part.finished.base, part.code.texts) for part in parts]
    joined.texts = lambda: [
        (at + base, text) for base, made in texts if made is not None for at, text in made()
    ]
    joined.stages = {
        stage: (lambda stage=stage: "\n".join(part.code.stages[stage]() for part in parts))  # type: ignore[misc]  # the default binds the loop's value
        for stage in first.stages
    }
    return joined


def referred(code: CompiledCode) -> list[str]:
    """The symbols that ``code`` refers to, in order of first reference."""
    return list(dict.fromkeys(reloc.symbol for reloc in code.relocs))
