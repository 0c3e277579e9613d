"""What a campaign has reached: opcodes at types, lowering rules, instruction rows, each counted in functions.

Counting these costs next to nothing, where tracing lines of Python costs 11 to 36 times the work.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Final, TypeVar

import msgspec

from backend.ir.entities import Function
from backend.ir.opcodes import OPCODES, Opcode, second_types
from backend.ir.types import Type
from fuzzer.generate.operations import TYPES
from fuzzer.targets.target import Target

Form = tuple[str, str]
"""Name of an opcode, name of its T (``-`` if it has none)."""
NO_TYPE: Final = "-"
_K = TypeVar("_K", bound=Hashable)


class Coverage(msgspec.Struct):
    """Cases that held a form (``iadd.i32``), fired a rule, emitted a row; rules and rows by number. ``levels``: forms
    again, by the level of optimisation they were compiled at, of a target that has several."""

    forms: dict[str, int] = {}
    levels: dict[str, dict[str, int]] = {}
    rules: dict[int, int] = {}
    rows: dict[int, int] = {}

    def count(
        self, functions: Iterable[Function], rules: set[int], rows: set[int], level: str
    ) -> None:
        """One case more. ``level``: "" of a target that has one only."""
        held = {
            (inst.op, inst.type)
            for function in functions for block in function.blocks for inst in block.insts
        }  # fmt: skip
        names = [f"{op.name}.{NO_TYPE if t is None else t.name}" for op, t in held]
        for forms in (self.forms, self.levels.setdefault(level, {})) if level else (self.forms,):
            for name in names:
                forms[name] = forms.get(name, 0) + 1
        for counts, numbers in ((self.rules, rules), (self.rows, rows)):
            for number in numbers:
                counts[number] = counts.get(number, 0) + 1

    def at(self, level: str) -> dict[str, int]:
        """Forms compiled at ``level``; "": at any."""
        return self.levels.get(level, {}) if level else self.forms

    def add(self, other: Coverage) -> None:
        """All that ``other`` counted, too."""
        add_counts(self.forms, other.forms)
        for level, forms in other.levels.items():
            add_counts(self.levels.setdefault(level, {}), forms)
        add_counts(self.rules, other.rules)
        add_counts(self.rows, other.rows)


def add_counts(counts: dict[_K, int], more: dict[_K, int]) -> None:
    """Sum ``more`` into ``counts``."""
    for key, count in more.items():
        counts[key] = counts.get(key, 0) + count


def supported_forms(target: Target, isa: str) -> list[Form]:
    """Every opcode at every type that values are drawn of and ``target`` takes, in the order of the tables. Not those
    that only some versions of Cranelift have: they are not drawn, so that every version can read an entry.
    """
    found: list[Form] = []
    for op in OPCODES:
        if op.only:
            continue
        types: tuple[Type | None, ...] = TYPES if op.over else (None,)
        found += [
            (op.name, NO_TYPE if type_ is None else type_.name)
            for type_ in types
            if (type_ is None or type_ in op.over) and _supports(target, isa, op, type_)
        ]
    return found


def _supports(target: Target, isa: str, op: Opcode, type_: Type | None) -> bool:
    seconds: list[Type | None] = [None]
    if "S" in op.operands:
        all_of_them = op.second if type_ is None else second_types(op, type_)
        seconds = [second for second in all_of_them if second in TYPES]
    return any(target.supports(isa, op, type_, second) for second in seconds)
