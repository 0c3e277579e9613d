"""The coverage matrix: tried, never tried and not there are three different things."""

from __future__ import annotations

from pathlib import Path

from fuzzer.report.matrix import SHADES, matrices
from fuzzer.report.summary import Cell
from tests.unit.fuzzer.report import sample


def test_opcodes_in_the_tables_order_types_by_size(tmp_path: Path) -> None:
    cells = [
        Cell("jump", "-", "aarch64", 9), Cell("isub", "i128", "aarch64", 0), Cell("iadd", "f32x4", "aarch64", 4),
        Cell("iadd", "i8x16", "aarch64", 4), Cell("iadd", "f32", "aarch64", 1), Cell("iadd", "i8", "aarch64", 1000),
        Cell("mystery", "i64", "aarch64", 0), Cell("iadd", "i8", "riscv64", 0), Cell("iadd", "i16x4", "aarch64", 2),
    ]  # fmt: skip
    first, second = matrices(sample.quiet(tmp_path, isas=["riscv64", "aarch64"], cells=cells))
    assert (first.isa, first.tried, first.total, first.untried) == ("riscv64", 0, 1, ("iadd.i8",))
    assert second.types == ("i8", "i64", "i128", "f32", "i16x4", "i8x16", "f32x4", "-")
    assert [row.opcode for row in second.rows] == ["iadd", "isub", "jump", "mystery"]
    assert (second.tried, second.total) == (6, 8)
    assert second.untried == ("isub.i128", "mystery.i64")
    iadd, isub, jump, mystery = second.rows
    assert iadd.tried
    assert not isub.tried
    assert isub.doc
    assert not mystery.doc
    assert [box and box.count for box in iadd.boxes] == [1000, None, None, 1, 2, 4, 4, None]
    assert [box and box.count for box in jump.boxes] == [None] * 7 + [9]


def test_shades_grow_with_the_count(tmp_path: Path) -> None:
    counts = [0, 1, 2, 3, 10, 100, 5000, 100_000]
    cells = [Cell("iadd", f"i{n}", "aarch64", count) for n, count in enumerate(counts, 1)]
    (matrix,) = matrices(sample.quiet(tmp_path, cells=cells))
    shades = [box.shade for box in matrix.rows[0].boxes if box is not None]
    assert shades[0] == 0
    assert shades[1] == 1
    assert shades[-1] == SHADES
    assert shades == sorted(shades)
    (flat,) = matrices(sample.quiet(tmp_path, cells=[Cell("iadd", "i8", "aarch64", 1)]))
    assert [box.shade for box in flat.rows[0].boxes if box is not None] == [1]


def test_no_cells_no_matrix(tmp_path: Path) -> None:
    assert matrices(sample.quiet(tmp_path)) == []
