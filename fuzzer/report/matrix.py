"""What the campaign tried: a matrix of opcodes by types for each ISA and level of optimisation.

Three things must be told apart at a glance: a form the target has and that was drawn, one it has and that was
*never tried*, and one it does not have. Opcodes stand in the order of the opcode table, which puts
relatives together; a name that the table lacks (a summary of another version) comes last.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import Final

from backend.ir.opcodes import OPCODES
from fuzzer.report.summary import Cell, Summary

SHADES: Final = 5
"""Shades of a cell that was tried, 1 (one function) to 5 (as many as the fullest)."""

_ORDER: Final = {op.name: index for index, op in enumerate(OPCODES)}
_DOCS: Final = {op.name: op.doc for op in OPCODES}
_TYPE: Final = re.compile(r"([a-z])(\d+)(?:x(\d+))?")


@dataclass(frozen=True, slots=True)
class Box:
    """A form: ``count`` functions held it; ``shade`` 0 if none did."""

    type: str
    count: int
    shade: int


@dataclass(frozen=True, slots=True)
class Row:
    """An opcode: a box a type of the matrix, None where the target does not have the form."""

    opcode: str
    doc: str
    boxes: tuple[Box | None, ...]
    tried: bool


@dataclass(frozen=True, slots=True)
class Matrix:
    """One ISA, at one ``level`` of optimisation if the target has several. ``tried`` of ``total`` forms were drawn at
    least once; ``untried``: the others, ``iadd.i8``."""

    isa: str
    level: str
    types: tuple[str, ...]
    rows: tuple[Row, ...]
    tried: int
    total: int
    untried: tuple[str, ...]

    @property
    def name(self) -> str:
        """``x86_64 at speed``."""
        return f"{self.isa} at {self.level}" if self.level else self.isa


def matrices(summary: Summary) -> list[Matrix]:
    """A matrix for each ISA and level with cells, in the campaign's order."""
    found: dict[tuple[str, str], list[Cell]] = defaultdict(list)
    for cell in summary.cells:
        found[cell.isa, cell.level].append(cell)
    isas = {isa: place for place, isa in enumerate(summary.isas)}
    order = sorted(
        found, key=lambda key: (isas.get(key[0], len(isas)), key[0] if key[0] not in isas else "")
    )
    return [_matrix(isa, level, found[isa, level]) for isa, level in order]


def _matrix(isa: str, level: str, cells: list[Cell]) -> Matrix:
    types = tuple(sorted({cell.type for cell in cells}, key=_type_key))
    most = max(cell.count for cell in cells)
    found: dict[str, dict[str, Box]] = defaultdict(dict)
    for cell in cells:
        found[cell.opcode][cell.type] = Box(cell.type, cell.count, _shade(cell.count, most))
    rows = tuple(
        Row(opcode, _DOCS.get(opcode, ""), tuple(boxes.get(type_) for type_ in types),
            all(box.count for box in boxes.values()))
        for opcode, boxes in sorted(
            found.items(), key=lambda item: (_ORDER.get(item[0], len(_ORDER)), item[0])
        )
    )  # fmt: skip
    untried = tuple(
        row.opcode + ("" if box.type == "-" else f".{box.type}")
        for row in rows
        for box in row.boxes
        if box is not None and not box.count
    )
    total = sum(1 for row in rows for box in row.boxes if box is not None)
    return Matrix(isa, level, types, rows, total - len(untried), total, untried)


def _shade(count: int, most: int) -> int:
    """By the logarithm: counts of an opcode span orders of magnitude."""
    if not count:
        return 0
    steps = max(most.bit_length() - 1, 1)
    return 1 + (count.bit_length() - 1) * (SHADES - 1) // steps


def _type_key(name: str) -> tuple[int, str, int, int, str]:
    """Scalars before vectors, integers before floats, narrow before wide, ``-`` last."""
    match = _TYPE.fullmatch(name)
    if match is None:
        return 2, "", 0, 0, name
    lanes = int(match[3] or 1)
    kind = "0" if match[1] == "i" else match[1]
    return int(lanes > 1), kind, int(match[2]) * lanes, int(match[2]), name
