"""MachBuffer: machine code in one pass, with labels, islands and veneers.

**Problem.** A branch is emitted before the place it goes to is known, and its format may not reach
that far: 32 KiB for a test-and-branch, 1 MiB for a conditional branch or a load from the constant
pool. Sizing every branch for the worst case is slow code; re-emitting until sizes settle is slow
compiling.

**Algorithm** (that of Cranelift's ``machinst/buffer.rs``). Emit each branch as one instruction, in
the form of its row, and record a *fixup*: where it is, its format (:class:`~backend.machine.labels.LabelUse`), its
label. A fixup has a *deadline*, the last offset it can reach forwards. Binding a label patches the
fixups that wait for it. When a deadline comes near, an *island* is put into the stream: for each
due fixup a *veneer*, a longer-reaching branch to the same label, and the constants collected so
far. The fixup is patched to its veneer, and the veneer, having a label use of its own, becomes a
fixup with a later deadline. A backward branch that can't reach its bound label waits for a veneer
in the same way.

**Invariant.** Whenever the emitter has asked :meth:`MachBuffer.island_needed` about what it is
going to put, and obeyed: the end of the worst island that could have to follow lies within the
soonest open deadline. That island holds a jump around, a veneer for each open fixup, each pending
constant with its padding, and ``growth`` bytes for each word still to come, which is the most that
one instruction can add to it (:meth:`use_label` and :meth:`constant` refuse more).
The invariant is not trusted but checked: patching beyond a format's reach is a BufferError.

**Short forms.** Formats that have one (:class:`~backend.machine.labels.ShortForm`) are emitted long, and made short at
the end where they reach their label (:mod:`backend.machine.relaxation`). Not in code that has an island or
anything aligned: its bytes keep their places.

A use, a trap or a relocation is announced *before* the word it belongs to is put, at the current
offset.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import Final

from backend.errors import BufferError
from backend.machine.code import CodeBuffer
from backend.machine.compiled import BufferAudit, Reloc
from backend.machine.encoding import Encoded
from backend.machine.labels import LabelUse
from backend.machine.relaxation import Branch, Moved, choose, distance

JUMP_AROUND: Final = 4
"""Default of ``around``: bytes of the branch that leads around an island."""
GROWTH: Final = 32
"""Default of ``growth``: a 16-byte constant with its padding, or a veneer of up to 8
instructions.
"""
_NEVER: Final = 1 << 62


class Fixup:
    """A word that waits for its label. ``open`` until it is patched; ``offset`` is of the word."""

    __slots__ = ("label", "offset", "open", "owner", "use")

    def __init__(self, offset: int, owner: int, label: int, use: LabelUse) -> None:
        self.offset = offset
        self.owner = owner
        self.label = label
        self.use = use
        self.open = True


class Finished:
    """Finished code: ``traps`` (offset, code) by offset, ``label_offsets`` by label,
    ``data_ranges`` (lo, hi). ``base``: where it begins once it is linked with others. ``moved``: where what was put at
    an offset lies now that some branches are short; None if none is.
    """

    __slots__ = (
        "audit",
        "base",
        "code",
        "data_ranges",
        "label_offsets",
        "moved",
        "relocs",
        "traps",
    )

    def __init__(
        self,
        code: bytes,
        traps: list[tuple[int, str]],
        relocs: list[Reloc],
        label_offsets: list[int],
        audit: BufferAudit,
        data_ranges: list[tuple[int, int]],
        moved: Moved | None,
    ) -> None:
        self.code = code
        self.moved = moved
        self.base = 0
        self.traps = traps
        self.relocs = relocs
        self.label_offsets = label_offsets
        self.audit = audit
        self.data_ranges = data_ranges


class MachBuffer:
    """Code under construction. ``nop_word`` fills padding; ``growth``: see the module's
    invariant; ``around``: bytes of the branch that leads around an island.
    """

    __slots__ = ("_around", "_constant_labels", "_constants", "_data", "_deadlines", "_fixups", "_growth",
                 "_immovable", "_labels", "_late", "_nop", "_pool", "_pool_bytes", "_relocs", "_spans", "_traps",
                 "_uses", "_veneer_bytes", "_waiting", "calm", "code")  # fmt: skip

    def __init__(self, nop_word: int, capacity: int = 16, *, growth: int = GROWTH,
                 around: int = JUMP_AROUND) -> None:  # fmt: skip
        self._around = around
        self.code = CodeBuffer(capacity)
        self._nop = nop_word.to_bytes(4, "little")
        self._growth = growth
        #: offset of each label, or -1
        self._labels: list[int] = []
        #: open fixups by unbound label
        self._waiting: dict[int, list[Fixup]] = {}
        #: fixups of bound labels in reach, patched at the end (their word isn't put yet)
        self._late: list[Fixup] = []
        #: heap of (deadline, number, fixup); closed ones are dropped when they surface
        self._deadlines: list[tuple[int, int, Fixup]] = []
        self._uses = 0
        self._veneer_bytes = 0
        #: code that may end here, growth included, needs no island before it; the worst case while unknown
        self.calm = -1
        self._pool: list[tuple[int, bytes, int]] = []
        self._pool_bytes = 0
        self._constants: dict[tuple[bytes, int], int] = {}
        self._constant_labels: dict[int, tuple[bytes, int]] = {}
        self._spans: list[tuple[int, int, str]] = []
        #: word, owner, target, use of what is patched
        self._fixups: list[tuple[int, int, int, LabelUse]] = []
        self._immovable = False
        self._traps: list[tuple[int, str]] = []
        self._relocs: list[Reloc] = []
        self._data: list[tuple[int, int]] = []

    @property
    def offset(self) -> int:
        """Where the next byte goes."""
        return self.code.length

    # ---- putting things

    def put4(self, word: int, what: str) -> None:
        """Append an instruction word; ``what`` names its row in the audit."""
        code = self.code
        self._spans.append((code.length, 4, what))
        code.put4(word)

    def put(self, code: bytes, what: str) -> None:
        """Append an instruction of any width."""
        at = self.code.length
        self._spans.append((at, len(code), what))
        self.code.put(code)

    def put_data(self, data: bytes, what: str) -> None:
        """Append bytes that are no instruction (a jump table). :meth:`align_to` before further
        code.
        """
        at = self.code.length
        if data:
            self._spans.append((at, len(data), what))
            self._data.append((at, at + len(data)))
            self.code.put(data)

    def align_to(self, align: int) -> None:
        """Pad to a multiple of ``align`` bytes, with no-ops where a whole word fits."""
        at = self.code.length
        self._immovable = True
        if pad := -at % align:
            self._spans.append((at, pad, "padding"))
            if pad % 4:
                self._data.append((at, at + pad))
            self.code.put(bytes(pad % 4) + self._nop * (pad // 4))

    def trap(self, code: str) -> None:
        """The instruction about to be put may trap with ``code``."""
        self._traps.append((self.code.length, code))

    def reloc(self, kind: str, symbol: str, addend: int, at: int = 0) -> None:
        """What is about to be put refers to ``symbol`` + ``addend``, from its byte ``at`` on."""
        self._relocs.append(Reloc(self.code.length + at, kind, symbol, addend))

    # ---- labels

    def new_label(self) -> int:
        self._labels.append(-1)
        return len(self._labels) - 1

    def bind(self, label: int) -> None:
        """``label`` is here. Patches what waits for it; BufferError if it was bound before."""
        if self._labels[label] >= 0:
            raise BufferError(f"label {label} is bound twice")
        here = self.code.length
        self._labels[label] = here
        for fixup in self._waiting.pop(label, ()):
            if fixup.open:
                self._close(fixup)
                self._patch(fixup, here)

    def use_label(self, label: int, use: LabelUse, at: int = 0) -> None:
        """The instruction about to be put refers to ``label`` in the way of ``use``, by the word at its
        byte ``at``.
        """
        owner = self.code.length
        here = owner + at
        target = self._labels[label]
        if target >= 0 and target - here < -use.max_neg and label in self._constant_labels:
            label = self._pool_again(label)
            target = -1
        self._add(Fixup(here, owner, label, use), target)

    def _add(self, fixup: Fixup, target: int) -> None:
        use = fixup.use
        if len(use.veneer_code) > self._growth:
            raise BufferError(
                f"a veneer of {use.name} is longer than the {self._growth} bytes allowed"
            )
        if target < 0:
            waiting = self._waiting.get(fixup.label)
            if waiting is None:
                self._waiting[fixup.label] = [fixup]
            else:
                waiting.append(fixup)
        elif target - fixup.offset >= -use.max_neg:
            self._late.append(fixup)
            return
        self.calm = -1
        self._uses += 1
        self._veneer_bytes += len(use.veneer_code)
        heappush(self._deadlines, (fixup.offset + use.max_pos, self._uses, fixup))

    def _close(self, fixup: Fixup) -> None:
        fixup.open = False
        self._veneer_bytes -= len(fixup.use.veneer_code)

    def _patch(self, fixup: Fixup, target: int) -> None:
        offset = fixup.offset
        word = self.code.read4(offset)
        self.code.patch4(offset, fixup.use.patch(word, target - offset))
        self._fixups.append((offset, fixup.owner, target, fixup.use))

    # ---- constants

    def constant(self, data: bytes, align: int) -> int:
        """A label for ``data``, to be placed at a multiple of ``align`` (a power of two) bytes."""
        label = self._constants.get((data, align))
        if label is None:
            label = self._pool_new(data, align)
        return label

    def _pool_new(self, data: bytes, align: int) -> int:
        size = len(data) + align - 1
        if size > self._growth:
            raise BufferError(f"a constant of {len(data)} bytes may add more than {self._growth}")
        label = self.new_label()
        self._constants[data, align] = label
        self._constant_labels[label] = (data, align)
        self.calm = -1
        self._pool.append((align, data, label))
        self._pool_bytes += size
        return label

    def _pool_again(self, label: int) -> int:
        """A label for the constant of ``label``, whose copy lies too far back."""
        data, align = self._constant_labels[label]
        newest = self._constants[data, align]
        return newest if self._labels[newest] < 0 else self._pool_new(data, align)

    def _emit_pool(self) -> None:
        pool, self._pool, self._pool_bytes = self._pool, [], 0
        if not pool:
            return
        for align, data, label in sorted(pool, key=lambda constant: -constant[0]):
            self.align_to(align)
            self.bind(label)
            self.put_data(data, "constant")
        self.align_to(4)

    # ---- islands

    def _worst_island(self) -> int:
        # 3: padding behind the pool, back to a word
        pool = self._pool_bytes + 3 if self._pool_bytes else 0
        return self._around + self._veneer_bytes + pool

    def _worst_end(self, upcoming_bytes: int) -> int:
        to_come = upcoming_bytes + (upcoming_bytes + 3) // 4 * self._growth
        return self.code.length + to_come + self._worst_island()

    def island_needed(self, upcoming_bytes: int) -> bool:
        """Whether an island must come before the next ``upcoming_bytes`` bytes of instructions.

        Not before the end of these, with ``growth`` for each word of them, is beyond ``calm``: so the
        hot path may compare first and call this only then.
        """
        deadlines = self._deadlines
        while deadlines and not deadlines[0][2].open:
            heappop(deadlines)
        self.calm = deadlines[0][0] - self._worst_island() if deadlines else _NEVER
        return bool(deadlines) and self._worst_end(upcoming_bytes) > deadlines[0][0]

    def emit_island(
        self, upcoming_bytes: int, around: tuple[Encoded, LabelUse] | None = None
    ) -> None:
        """Put the pending constants and a veneer for each fixup that can't wait ``upcoming_bytes``
        more.

        ``around``: code and label use of a jump that leads around the island when control falls
        into it; None after an instruction that never falls through.
        """
        if not self._pool and not self.island_needed(upcoming_bytes):
            return
        self._immovable = True
        known = self._uses
        behind = -1
        if around is not None:
            behind = self.new_label()
            jump, use = around
            self.use_label(behind, use, word_at(jump))
            if isinstance(jump, int):
                self.put4(jump, "island")
            else:
                self.put(jump, "island")
        self._emit_pool()
        deadlines = self._deadlines
        kept = []
        # The end is looked at anew for each: a veneer that needs a veneer itself makes the next
        # island longer.
        while deadlines and deadlines[0][0] < self._worst_end(upcoming_bytes):
            item = heappop(deadlines)
            fixup = item[2]
            if not fixup.open:
                continue
            if item[1] > known:
                kept.append(item)
            else:
                self._emit_veneer(fixup)
        for item in kept:
            heappush(deadlines, item)
        if behind >= 0:
            self.bind(behind)

    def _emit_veneer(self, fixup: Fixup) -> None:
        use = fixup.use
        if use.veneer is None:
            raise BufferError(
                f"{use.name} at {fixup.offset} can't reach label {fixup.label} and has no veneer"
            )
        here = self.code.length
        self._close(fixup)
        self._patch(fixup, here)
        word = here + use.veneer_at
        self._spans.append((here, len(use.veneer_code), "island"))
        self.code.put(use.veneer_code)
        self._add(Fixup(word, here, fixup.label, use.veneer), self._labels[fixup.label])

    # ---- the end

    def finish(self, *, shorten: bool = True) -> Finished:
        """The finished code: pool and last veneers placed, everything patched, the bytes taken. ``shorten``: make
        branches short that can be.

        BufferError if a label that is used was never bound, or if this was called before.
        """
        self._patch_late()
        moved = self._shorten() if shorten and not self._immovable else None
        self._emit_pool()
        for label, waiting in self._waiting.items():
            if any(fixup.open for fixup in waiting):
                raise BufferError(f"label {label}, used at {waiting[0].offset}, was never bound")
        deadlines = self._deadlines
        while deadlines:
            fixup = heappop(deadlines)[2]
            if fixup.open:
                self._emit_veneer(fixup)
        self._patch_late()
        code = self.code
        if self._traps and self._traps[-1][0] >= code.length:
            raise BufferError("a trap was announced for an instruction that was never put")
        if self._relocs and self._relocs[-1].offset >= code.length:
            raise BufferError("a relocation was announced for an instruction that was never put")
        data = code.take()
        audit = BufferAudit(
            capacity=code.capacity,
            length=code.length,
            taken=code.taken,
            spans=self._spans,
            fixups=[(at, owner, to, use.name) for at, owner, to, use in self._fixups],
            red_zone_damage=code.damage(),
        )
        data_ranges = _merge_ranges(self._data)
        return Finished(data, self._traps, self._relocs, self._labels, audit, data_ranges, moved)

    def _patch_late(self) -> None:
        late, self._late = self._late, []
        for fixup in late:
            self._patch(fixup, self._labels[fixup.label])

    def _shorten(self) -> Moved | None:
        """Make branches short that reach their labels then, and move all that lies behind one."""
        code = self.code
        branches: list[Branch] = []
        for at, owner, target, use in self._fixups:
            if use.short is not None:
                head = use.short.heads.get(code.read(owner, at))
                if head is not None:
                    branches.append(Branch(owner, at + 4, target, use.short.use, head))
        chosen = choose(branches)
        if not chosen:
            return None
        moved = Moved(chosen)
        chosen.sort(key=lambda branch: branch.start)
        code.shorten([
            (b.start, b.end, b.short_head + bytes((b.short.patch(0, distance(b, moved)),)))
            for b in chosen
        ])  # fmt: skip
        short = {branch.start: branch.short for branch in chosen}
        fixups, self._fixups = self._fixups, []
        for at, owner, target, use in fixups:
            here, there = moved(at), moved(target)
            if owner in short:
                use = short[owner]
                here = moved(at + 4) - 1
            elif there - here != target - at:
                code.patch4(here, use.patch(code.read4(here), there - here))
            self._fixups.append((here, moved(owner), there, use))
        self._labels = [moved(offset) if offset >= 0 else offset for offset in self._labels]
        self._spans = [
            (moved(at), moved(at + size) - moved(at), what) for at, size, what in self._spans
        ]
        self._traps = [(moved(at), trap) for at, trap in self._traps]
        self._data = [(moved(lo), moved(hi)) for lo, hi in self._data]
        for reloc in self._relocs:
            reloc.offset = moved(reloc.offset)
        for _, _, fixup in self._deadlines:
            fixup.offset, fixup.owner = moved(fixup.offset), moved(fixup.owner)
        return moved


def word_at(code: Encoded) -> int:
    """Where in an instruction the word lies that a label is patched into: it is it, or its last four bytes."""
    return 0 if isinstance(code, int) else len(code) - 4


def _merge_ranges(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for lo, hi in ranges:
        if merged and merged[-1][1] == lo:
            merged[-1] = (merged[-1][0], hi)
        else:
            merged.append((lo, hi))
    return merged
