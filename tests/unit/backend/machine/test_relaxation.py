"""Short branches: each that reaches is short, no other is, and what lies behind one is where it is said to be."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.compile import compile_function
from backend.errors import BufferError
from backend.ir.parser import parse_function
from backend.isa import isa_named
from backend.isa.x86_64.labels import label_uses
from backend.machine.buffer import Finished, MachBuffer
from backend.machine.code import CodeBuffer
from backend.options import Options
from fuzzer.case import Case
from fuzzer.execute.decode import decode
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

ISA = isa_named("x86_64")
JUMP, BRANCH = ISA.table["jmp"], ISA.table["jcc"]
NOP = bytes((0x90,))


@dataclass
class Piece:
    """``size`` no-ops, and behind them a branch to the start of piece ``to`` (one past the last: the end)."""

    size: int
    to: int
    conditional: bool


def put(buffer: MachBuffer, pieces: list[Piece]) -> None:
    labels = [buffer.new_label() for _ in range(len(pieces) + 1)]
    uses = label_uses()
    for piece, label in zip(pieces, labels, strict=False):
        buffer.bind(label)
        for _ in range(piece.size):
            buffer.put(NOP, "nop")
        row = BRANCH if piece.conditional else JUMP
        code = row.encode([5, 0, 0] if piece.conditional else [0])
        assert isinstance(code, bytes)
        buffer.use_label(labels[piece.to % len(labels)], uses[row.use], len(code) - 4)
        buffer.trap("user1")
        buffer.put(code, row.name)
    buffer.bind(labels[-1])
    buffer.trap("user2")
    buffer.put(NOP, "nop")


def finished(pieces: list[Piece], *, shorten: bool = True) -> Finished:
    buffer = MachBuffer(ISA.nop, growth=16, around=5)
    put(buffer, pieces)
    return buffer.finish(shorten=shorten)


def lengths(made: Finished) -> list[int]:
    return [size for _, size, what in made.audit.spans if what != "nop"]


def between(size: int, *, back: bool = False) -> list[Piece]:
    """A branch over ``size`` bytes, forwards to the end or backwards to the start."""
    return [Piece(0, 2, True), Piece(size, 2, False)] if not back else [Piece(size, 0, True)]


@pytest.mark.parametrize(("pieces", "sizes"), [
    ([Piece(0, 1, True)], [2]),
    ([Piece(0, 0, False)], [2]),
    # the second jump is 2 bytes, to its own end
    (between(125), [2, 2]),
    (between(126), [6, 2]),
    (between(126, back=True), [2]),
    (between(127, back=True), [6]),
    ([Piece(0, 2, False), Piece(60, 1, True), Piece(63, 3, True)], [2, 2, 2]),
    # none reaches unless the one between has become short
    ([Piece(0, 3, False), Piece(123, 2, False), Piece(0, 3, True)], [2, 2, 2]),
])  # fmt: skip
def test_a_branch_is_short_if_its_label_is_near(pieces: list[Piece], sizes: list[int]) -> None:
    assert lengths(finished(pieces)) == sizes
    assert lengths(finished(pieces, shorten=False)) == [6 if p.conditional else 5 for p in pieces]


@settings(max_examples=150, deadline=None, database=None)
@given(
    st.lists(
        st.builds(Piece, st.integers(0, 70), st.integers(0, 12), st.booleans()),
        min_size=1,
        max_size=12,
    )
)
def test_everything_lies_where_it_is_said_to(pieces: list[Piece]) -> None:
    long, short = finished(pieces, shorten=False), finished(pieces)
    moved = short.moved or (lambda offset: offset)
    assert short.label_offsets == [moved(offset) for offset in long.label_offsets]
    assert [at for at, _ in short.traps] == [moved(at) for at, _ in long.traps]
    assert [at for at, _, _ in short.audit.spans] == [moved(at) for at, _, _ in long.audit.spans]
    ends = [at + size for at, size, _ in short.audit.spans]
    assert ends == [*[at for at, _, _ in short.audit.spans[1:]], len(short.code)]
    assert not short.audit.red_zone_damage
    owners = {at: size for at, size, _ in short.audit.spans}
    texts = dict(decode("x86_64", short.code))
    assert list(texts) == [at for at, _, _ in short.audit.spans]
    for patched, owner, target, kind in short.audit.fixups:
        size = owners[owner]
        assert patched == owner + size - (1 if kind.endswith("8") else 4)
        assert int(texts[owner].split()[1], 0) == target
        # One that is long would not reach as a short one, whose end is nearer to what lies before it.
        if size > 2:
            distance = target - (owner + size)
            assert not -128 <= distance + (size - 2 if distance < 0 else 0) <= 127


def test_what_is_aligned_stays_where_it_is() -> None:
    buffer = MachBuffer(ISA.nop, growth=16, around=5)
    put(buffer, [Piece(0, 1, True)])
    buffer.align_to(8)
    assert lengths(buffer.finish())[0] == 6


def test_the_pool_is_aligned_behind_shorter_code() -> None:
    buffer = MachBuffer(ISA.nop, growth=16, around=5)
    row = ISA.table["mov_pool.q"]
    code = row.encode([0, 0])
    assert isinstance(code, bytes)
    label = buffer.constant((0x0123456789ABCDEF).to_bytes(8, "little"), 8)
    put(buffer, [Piece(3, 1, True), Piece(1, 0, False)])
    buffer.use_label(label, label_uses()[row.use], len(code) - 4)
    buffer.put(code, row.name)
    made = buffer.finish()
    (constant,) = [at for at, _, what in made.audit.spans if what == "constant"]
    assert constant % 8 == 0
    load = next(at for at, _, what in made.audit.spans if what == row.name)
    assert made.data_ranges[-1] == (constant, constant + 8)
    displacement = int.from_bytes(made.code[load + 3 : load + 7], "little")
    assert load + 7 + displacement == constant


def test_pieces_that_are_no_shorter_are_refused() -> None:
    code = CodeBuffer()
    code.put(bytes(10))
    code.shorten([(2, 6, b"ab"), (6, 8, b"")])
    assert (code.length, code.damage()) == (6, [])
    for pieces in ([(0, 1, b"ab")], [(4, 9, b"")], [(3, 4, b""), (2, 3, b"")]):
        with pytest.raises(BufferError, match="can't be replaced"):
            code.shorten(pieces)
    assert code.take() == bytes(2) + b"ab" + bytes(2)
    with pytest.raises(BufferError, match="can't be replaced"):
        code.shorten([(0, 1, b"")])


LOOP = """function %f(i32) -> i32 {
block0(v0: i32):
    jump block1(v0)

block1(v1: i32):
    v2 = iconst.i32 1
    v3 = isub v1, v2
    trapnz v3, user1
    brif v3, block1(v3), block2

block2:
    return v3
}"""


def test_the_compiler_makes_branches_short_unless_told_not_to() -> None:
    function = parse_function(LOOP)
    rows = {name: ISA.table[name].index for name in ("jcc", "jcc_short")}
    short = compile_function(function, "x86_64")
    assert rows["jcc_short"] in short.row_hits
    long = compile_function(function, "x86_64", Options.from_dict({"long_branches": True}))
    assert rows["jcc_short"] not in long.row_hits
    assert len(short.code) < len(long.code)
    for options in ({}, {"long_branches": True}):
        case = Case(function, [(1,), (2,), (7,)], isa="x86_64", options={**options})
        assert run_trial(case, target_named("builtin"), thorough=True)[1] == []
    assert short.places is not None
    for offset, code in short.places().encoded.items():
        assert short.code[offset : offset + len(code)] == code
