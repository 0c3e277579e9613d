"""Every AArch64 row: the word that it encodes is, to Capstone, exactly the text that it prints."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import capstone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import InternalError
from backend.isa.aarch64.insts import ROWS
from backend.isa.aarch64.labels import label_uses
from backend.machine.encoding import Kind
from backend.machine.rows import Row
from fuzzer.checks.reassembly import assemble

REAL = [row for row in ROWS.rows if not row.pseudo]
ENGINE = capstone.Cs(capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN)
USES = label_uses()


def decoded(word: int, at: int = 0) -> str:
    found = list(ENGINE.disasm(word.to_bytes(4, "little"), at))
    return f"{found[0].mnemonic} {found[0].op_str}".rstrip() if found else "(bad)"


def distinct(row: Row, ops: list[int]) -> bool:
    """Loads of a pair into one register, and writeback to a register transferred, are unpredictable."""
    places = {field.name: op for field, op in zip(row.fields, ops, strict=True)}
    if row.name.startswith(("ldp", "stp")):
        base = places["n"]
        moved = [places[name] for name in ("d", "d2", "v", "w") if name in places]
        writes_back = "pre" in row.name or "post" in row.name
        return (row.name[0] == "s" or moved[0] != moved[1]) and not (writes_back and base in moved)
    return True


@cache
def values(kind: Kind) -> st.SearchStrategy[int]:
    return st.sampled_from(kind.legal())


def operands(row: Row) -> st.SearchStrategy[list[int]]:
    fields = [values(field.kind) for field in row.fields]
    return st.tuples(*fields).map(list).filter(lambda ops: distinct(row, ops))


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
@settings(max_examples=12, deadline=None, database=None)
@given(data=st.data())
def test_capstone_reads_what_the_row_prints(row: Row, data: st.DataObject) -> None:
    ops = data.draw(operands(row))
    word = row.encode(ops)
    assert 0 <= word < 1 << 32
    assert word & row.mask == row.match
    at = 0
    if row.label >= 0:
        use = USES[row.use]
        delta = (
            data.draw(st.integers(-use.max_neg // use.align, use.max_pos // use.align)) * use.align
        )
        at = 1 << 20 << 9
        word = use.patch(word, delta)
        ops[row.label] = at + delta
    assert decoded(word, at) == row.text(ops)


@pytest.mark.parametrize("row", REAL, ids=lambda row: row.name)
def test_a_field_refuses_what_it_can_not_hold(row: Row) -> None:
    ops = [field.kind.legal()[0] for field in row.fields]
    for i, field in enumerate(row.fields):
        if f"{{{field.name}:" not in row.template or field.kind.to_bits is None or field.kind.label:
            continue
        for wrong in (-(1 << 40), 1 << 70):
            with pytest.raises(InternalError):
                row.encode([*ops[:i], wrong, *ops[i + 1 :]])
        if field.kind.cls == 0:
            # Number 31 is the zero register or the stack pointer, never both.
            refused = [number for number in (31, 64) if number not in field.kind.legal()]
            assert refused
            for number in refused:
                with pytest.raises(InternalError):
                    row.encode([*ops[:i], number, *ops[i + 1 :]])


@pytest.mark.skipif(shutil.which("llvm-mc") is None, reason="llvm-mc is not installed")
def test_llvm_mc_accepts_every_row() -> None:
    """Capstone lets some wrong should-be bits pass; LLVM's decoder doesn't."""
    words = []
    for row in REAL:
        legal = [field.kind.legal() for field in row.fields]
        for at in (0, 1, -1):
            ops = [values[(at + i) % len(values)] for i, values in enumerate(legal)]
            if distinct(row, ops):
                words.append((row, row.encode(ops)))
    text = "\n".join(
        " ".join(f"0x{b:02x}" for b in word.to_bytes(4, "little")) for _, word in words
    )
    made = subprocess.run(["llvm-mc", "--disassemble", "-triple=aarch64"], input=text,
                          capture_output=True, text=True, check=True)  # fmt: skip
    assert "warning" not in made.stderr
    lines = [line for line in made.stdout.splitlines() if line.strip() and ".text" not in line]
    assert len(lines) == len(words)


def test_rows_of_the_same_bits_are_the_same_instruction() -> None:
    """Aliases share their fixed bits; nothing else does."""
    seen: dict[tuple[int, int], list[str]] = {}
    for row in REAL:
        seen.setdefault((row.mask, row.match), []).append(row.name.partition(".")[0])
    shared = sorted(tuple(names) for names in seen.values() if len(names) > 1)
    assert shared == sorted(
        [("lsl_ri", "ubfx", "ubfiz"), ("sbfx", "sbfiz"), ("csneg", "cneg"), ("ror_ri", "extr")] * 2
    )


KEYSTONE = [row for row in REAL if row.label < 0 and not row.name.startswith("udf")]


@pytest.mark.parametrize("row", KEYSTONE, ids=lambda row: row.name)
@settings(max_examples=4, deadline=None, database=None)
@given(data=st.data())
def test_keystone_makes_the_word_of_what_the_row_prints(row: Row, data: st.DataObject) -> None:
    ops = data.draw(operands(row))
    assert assemble("aarch64", row.text(ops)) == row.encode(ops).to_bytes(4, "little")
