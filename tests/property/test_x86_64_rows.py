"""Every x86-64 row: the bytes that it encodes are, to Capstone, exactly the text that it prints."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import capstone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import InternalError
from backend.isa.x86_64.insts import ROWS
from backend.isa.x86_64.labels import label_uses
from backend.machine.encoding import Kind
from backend.machine.rows import Row

REAL = [row for row in ROWS.rows if not row.pseudo]
ENGINE = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
USES = label_uses()
NAMED = ("sil", "dil", "bpl", "spl")


def encoded(row: Row, ops: list[int]) -> bytes:
    code = row.encode(ops)
    assert isinstance(code, bytes)
    return code


def decoded(code: bytes, at: int = 0) -> str:
    found = list(ENGINE.disasm(code, at))
    assert sum(inst.size for inst in found) == len(code)
    return "; ".join(f"{inst.mnemonic} {inst.op_str}".rstrip() for inst in found)


@cache
def values(kind: Kind) -> st.SearchStrategy[int]:
    return st.sampled_from(kind.legal())


def operands(row: Row) -> st.SearchStrategy[list[int]]:
    return st.tuples(*[values(field.kind) for field in row.fields]).map(list)


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
@settings(max_examples=25, deadline=None, database=None)
@given(data=st.data())
def test_capstone_reads_what_the_row_prints(row: Row, data: st.DataObject) -> None:
    ops = data.draw(operands(row))
    code = encoded(row, ops)
    at = 0
    if row.label >= 0:
        use = USES[row.use]
        delta = data.draw(st.integers(-use.max_neg, use.max_pos))
        at = 1 << 40
        size = 1 if use.name.endswith("8") else 4
        word = int.from_bytes(code[-size:], "little")
        code = code[:-size] + use.patch(word, delta).to_bytes(size, "little")
        relative = row.fields[row.label].kind.relative
        ops[row.label] = len(code) - size + delta + (0 if relative else at)
    assert decoded(code, at) == row.text(ops)


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
def test_every_register_reads_back(row: Row) -> None:
    """Each register in each place: the REX bits and the exceptions of ModRM and SIB are few and all visited."""
    ops = [field.kind.legal()[0] for field in row.fields]
    for i, field in enumerate(row.fields):
        if row.label >= 0 or field.kind.cls < 0 or field.kind.fixed >= 0:
            continue
        for register in field.kind.legal():
            for disp in (0, 127, -129):
                given = [*ops[:i], register, *ops[i + 1 :]]
                for place, other in enumerate(row.fields):
                    if other.kind.name == "disp":
                        given[place] = disp
                assert decoded(encoded(row, given)) == row.text(given)


def test_immediates_and_displacements_are_the_shortest() -> None:
    for disp, size in ((0, 3), (1, 4), (-128, 4), (127, 4), (128, 7), (-129, 7)):
        assert len(encoded(ROWS["load.q_o"], [0, 3, disp, -1])) == size
    assert encoded(ROWS["load.q_o"], [0, 13, 0, -1]).hex() == "498b4500"
    assert encoded(ROWS["load.l_o"], [0, 4, 0, -1]).hex() == "8b0424"
    for imm, size in ((1, 3), (-128, 3), (127, 3), (128, 6), (-129, 6)):
        assert len(encoded(ROWS["add_ri.l"], [3, imm, 3])) == size


def test_a_prefix_appears_only_when_it_is_needed() -> None:
    for name, code in (("al", "88c8"), ("sil", "4088ce"), ("r8b", "4188c8")):
        register = {"al": 0, "sil": 6, "r8b": 8}[name]
        assert encoded(ROWS["store.b_o"], [3, 0, 1, -1]).hex() == "880b"
        made = encoded(ROWS["cmp_rr.b"], [register, 1])
        assert made.hex() == code.replace("88", "38", 1)
        assert decoded(made) == f"cmp {name}, cl"
    assert encoded(ROWS["mov_rr.l"], [0, 1]).hex() == "89c8"


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
def test_a_field_refuses_what_it_can_not_hold(row: Row) -> None:
    ops = [field.kind.legal()[0] for field in row.fields]
    for i, field in enumerate(row.fields):
        if f"{{{field.name}:" not in row.template or field.kind.to_bits is None or field.kind.label:
            continue
        wrongs = [-(1 << 40), 1 << 70]
        if field.kind.name == "index":
            wrongs.append(4)
        if field.kind.cls >= 0:
            wrongs.append(16 if field.kind.cls == 0 else 3)
        for wrong in wrongs:
            with pytest.raises(InternalError):
                row.encode([*ops[:i], wrong, *ops[i + 1 :]])


@pytest.mark.skipif(shutil.which("llvm-mc") is None, reason="llvm-mc is not installed")
def test_llvm_mc_accepts_every_row() -> None:
    """A second decoder, which knows each instruction's length by itself."""
    codes = []
    for row in REAL:
        legal = [field.kind.legal() for field in row.fields]
        for at in (0, 1, -1):
            ops = [values[(at + i) % len(values)] for i, values in enumerate(legal)]
            codes.append(encoded(row, ops))
    text = "\n".join(" ".join(f"0x{b:02x}" for b in code) for code in codes)
    made = subprocess.run(["llvm-mc", "--disassemble", "-triple=x86_64"], input=text,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "warning" not in made.stderr
    lines = [line for line in made.stdout.splitlines() if line.strip() and ".text" not in line]
    assert len(lines) == len(codes)
