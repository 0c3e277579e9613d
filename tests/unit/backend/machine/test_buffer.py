"""MachBuffer against a tiny machine whose branches reach 64 bytes, so that veneers are everyday.

A word of the tiny machine is an opcode byte and a 24-bit signed field of words: ``NOP`` with a
payload,
``BR`` (short), ``MID`` and ``FAR`` branches, ``LIT`` (load from the pool). ``arrives`` follows
branches as the machine would.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import BufferError
from backend.machine.buffer import Finished, MachBuffer
from backend.machine.labels import LabelUse

NOP, BR, MID, FAR, LIT = range(5)
FIELD = ((2, 24, 8),)
FAR_USE = LabelUse("far", 1 << 24, 1 << 24, FIELD)
MID_USE = LabelUse(
    "mid",
    256,
    256,
    FIELD,
    veneer=FAR_USE,
    veneer_code=bytes(4) + bytes([FAR, 0, 0, 0]),
    veneer_at=4,
)
BR_USE = LabelUse("short", 64, 64, FIELD, veneer=MID_USE, veneer_code=bytes([MID, 0, 0, 0]))
LIT_USE = LabelUse("literal", 128, 128, FIELD)
USES = {BR: BR_USE, MID: MID_USE, FAR: FAR_USE, LIT: LIT_USE}
GROWTH = 16


class Program:
    """Emits the way an emitter does: asks for an island before each instruction."""

    def __init__(self) -> None:
        self.buffer = MachBuffer(0, 4, growth=GROWTH)
        self.uses: list[tuple[int, int, int]] = []

    def room(self) -> None:
        if self.buffer.island_needed(4):
            self.buffer.emit_island(4, (FAR, FAR_USE))
            assert not self.buffer.island_needed(4)

    def nop(self, payload: int = 0) -> None:
        self.room()
        self.buffer.put4(NOP | payload << 8, "nop")

    def refer(self, op: int, label: int) -> None:
        self.room()
        self.uses.append((self.buffer.offset, op, label))
        self.buffer.use_label(label, USES[op])
        self.buffer.put4(op, f"op{op}")

    def load(self, data: bytes) -> int:
        self.room()
        label = self.buffer.constant(data, len(data))
        at = self.buffer.offset
        self.buffer.use_label(label, LIT_USE)
        self.buffer.put4(LIT, "lit")
        return at


def field(code: bytes, at: int) -> int:
    word = int.from_bytes(code[at : at + 4], "little")
    return FAR_USE.read(word)


def arrives(finished: Finished, at: int, goal: int) -> bool:
    """Whether a branch at ``at`` ends up at ``goal``, through whatever veneers."""
    code = finished.code
    islands = {
        word
        for offset, length, what in finished.audit.spans
        if what == "island"
        for word in range(offset, offset + length, 4)
    }
    target = at + field(code, at)
    for _ in range(16):
        if target == goal or target not in islands:
            return target == goal
        at = target if code[target] == MID else target + 4
        assert at in islands
        assert code[at] in (MID, FAR)
        target = at + field(code, at)
    raise AssertionError("veneers without end")


def audit(finished: Finished) -> None:
    """Spans tile the code; every fixup is inside its own span and within reach."""
    code = finished.code
    at = 0
    owners = {}
    for offset, length, what in finished.audit.spans:
        assert offset == at
        assert length > 0
        owners[offset] = (length, what)
        at += length
    assert at == len(code) == finished.audit.length <= finished.audit.capacity
    assert finished.audit.red_zone_damage == []
    names = {use.name: use for use in USES.values()}
    for patched, owner, target, kind in finished.audit.fixups:
        assert owner <= patched < patched + 4 <= owner + owners[owner][0]
        assert names[kind].reaches(target - patched)
        assert field(code, patched) == target - patched


ACTIONS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["br", "mid", "far"]), st.integers(0, 9)),
        st.tuples(st.just("bind"), st.integers(0, 9)),
        st.tuples(st.just("nop"), st.integers(1, 30)),
        st.tuples(st.just("lit"), st.integers(0, 5)),
    ),
    max_size=60,
)


@given(ACTIONS)
def test_every_branch_lands_on_its_label(actions: list[tuple[str, int]]) -> None:
    program = Program()
    buffer = program.buffer
    labels = [buffer.new_label() for _ in range(10)]
    bound: set[int] = set()
    loads = []
    for action, n in actions:
        if action == "bind" and n not in bound:
            bound.add(n)
            buffer.bind(labels[n])
        elif action == "nop":
            for i in range(n):
                program.nop(i)
        elif action == "lit":
            data = bytes([n]) * (4 if n < 3 else 8)
            loads.append((program.load(data), data))
        elif action != "bind":
            program.refer({"br": BR, "mid": MID, "far": FAR}[action], labels[n])
    for n in range(10):
        if n not in bound:
            buffer.bind(labels[n])
    finished = buffer.finish()
    audit(finished)
    for at, _, label in program.uses:
        assert arrives(finished, at, finished.label_offsets[label])
    for at, data in loads:
        place = at + field(finished.code, at)
        assert place % len(data) == 0
        assert finished.code[place : place + len(data)] == data
        assert any(lo <= place and place + len(data) <= hi for lo, hi in finished.data_ranges)


def test_a_branch_at_the_end_is_patched_in_its_own_word() -> None:
    buffer = MachBuffer(0)
    label = buffer.new_label()
    buffer.bind(label)
    buffer.put4(NOP, "nop")
    buffer.use_label(label, BR_USE)
    buffer.put4(BR, "br")
    finished = buffer.finish()
    assert finished.code == bytes([NOP, 0, 0, 0, BR, 0xFF, 0xFF, 0xFF])
    assert finished.audit.fixups == [(4, 4, 0, "short")]


def test_a_use_after_its_word_is_refused() -> None:
    buffer = MachBuffer(0)
    label = buffer.new_label()
    buffer.put4(BR, "br")
    buffer.use_label(label, BR_USE)
    with pytest.raises(BufferError, match="not inside"):
        buffer.bind(label)


def test_a_chain_of_veneers() -> None:
    """64 bytes, then 256, then 16 MiB: a short branch over 4 KiB needs two veneers."""
    program = Program()
    label = program.buffer.new_label()
    program.refer(BR, label)
    for _ in range(1000):
        program.nop()
    program.buffer.bind(label)
    finished = program.buffer.finish()
    audit(finished)
    assert [kind for _, _, _, kind in finished.audit.fixups].count("short") == 1
    assert sorted(what for _, _, what in finished.audit.spans if what != "nop") == [
        "island"
    ] * 4 + ["op1"]
    assert arrives(finished, 0, finished.label_offsets[label])


def test_without_islands_the_reach_is_an_error() -> None:
    buffer = MachBuffer(0)
    label = buffer.new_label()
    buffer.use_label(label, BR_USE)
    for _ in range(40):
        buffer.put4(BR, "br")
    with pytest.raises(BufferError, match="out of reach"):
        buffer.bind(label)


def test_constants_are_shared_sorted_and_aligned() -> None:
    buffer = MachBuffer(0)
    small = buffer.constant(b"\1\2\3\4", 4)
    large = buffer.constant(bytes(range(16)), 16)
    assert buffer.constant(b"\1\2\3\4", 4) == small
    buffer.put4(1, "nop")
    finished = buffer.finish()
    assert finished.label_offsets == [32, 16]
    assert finished.label_offsets[large] % 16 == 0
    assert finished.data_ranges == [(16, 36)]


def test_traps_and_relocations_belong_to_the_next_word() -> None:
    buffer = MachBuffer(0)
    buffer.put4(1, "a")
    buffer.trap("int_divz")
    buffer.reloc("call26", "%g", 4)
    buffer.put4(2, "b")
    finished = buffer.finish()
    assert finished.traps == [(4, "int_divz")]
    assert [(r.offset, r.kind, r.symbol, r.addend) for r in finished.relocs] == [
        (4, "call26", "%g", 4)
    ]


def test_misuse() -> None:
    buffer = MachBuffer(0)
    label = buffer.new_label()
    buffer.use_label(label, BR_USE)
    buffer.put4(BR, "br")
    with pytest.raises(BufferError, match="never bound"):
        buffer.finish()
    buffer.bind(label)
    with pytest.raises(BufferError, match="bound twice"):
        buffer.bind(label)
    buffer.trap("user1")
    with pytest.raises(BufferError, match="never put"):
        buffer.finish()
    buffer.put4(0, "trap")
    buffer.finish()
    with pytest.raises(BufferError, match="taken twice"):
        buffer.finish()
