from __future__ import annotations

import pytest

from backend.errors import InternalError
from backend.isa.aarch64.fields import KINDS
from backend.isa.aarch64.insts import ROWS
from backend.machine.rows import Row, RowTable
from backend.machine.vcode import DEF, USE


def test_operands_follow_from_the_text() -> None:
    row = ROWS["madd.x"]
    assert [(o.index, o.role) for o in row.operands] == [(1, USE), (2, USE), (3, USE), (0, DEF)]
    assert row.text([0, 1, 2, 3]) == "madd x0, x1, x2, x3"


def test_a_tied_result_names_its_input() -> None:
    row = ROWS["movk.x"]
    assert row.tie == (0, 3)
    assert [(o.index, o.tied) for o in row.operands] == [(3, -1), (0, 3)]


def test_a_literal_register_is_no_operand() -> None:
    row = ROWS["ldr.x_ui"]
    kept = row.operands_without((None, 29, 16, -1))
    assert [o.index for o in kept] == [0]
    assert row.operands_without((None, None, None, None)) is row.operands


def test_recompile_changes_words_and_back() -> None:
    row = Row(
        "stp", "stp {v:x}, {w:x}, [{n:xs}, {imm:p3w}]!", "10 101 0 011 0 imm[9:3] w n v", KINDS
    )
    ops = [29, 30, 64, -16]
    assert row.encode(ops).to_bytes(4, "little").hex() == "fd7bbfa9"
    assert row.text(ops) == "stp x29, x30, [sp, #-0x10]!"
    row.recompile(pattern="10 101 0 010 0 imm[9:3] w n v")
    assert row.encode(ops).to_bytes(4, "little").hex() == "fd7b3fa9"
    row.recompile(template="stp {v:x}, {w:x}, [{n:xs}], {imm:p3w}")
    assert row.text(ops) == "stp x29, x30, [sp], #-0x10"


def test_an_alias_is_shown_where_its_condition_holds() -> None:
    assert ROWS["csinc.x"].text([0, 1, 1, 3]) == "cinc x0, x1, hs"
    assert ROWS["csinc.x"].text([0, 1, 2, 3]) == "csinc x0, x1, x2, lo"


def test_a_pseudo_instruction_has_no_word() -> None:
    with pytest.raises(InternalError, match="args is no instruction of the machine"):
        ROWS["args"].encode([])


def test_names_are_unique_and_indices_dense() -> None:
    table = RowTable()
    table.add(Row("nop", "nop", "0" * 32, {}))
    with pytest.raises(ValueError, match="two rows for nop"):
        table.add(Row("nop", "nop", "0" * 32, {}))
    assert [row.index for row in ROWS.rows] == list(range(len(ROWS.rows)))
