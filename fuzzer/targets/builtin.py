"""The backend of this repository as a target. It runs in the worker's process: it is Python."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import ClassVar, Final

from backend.compile import compile_module
from backend.errors import Unsupported
from backend.ir.entities import AbiParam
from backend.ir.opcodes import N64, Opcode, opcode_named
from backend.ir.types import SCALARS, Type
from backend.isa import ISA_NAMES, isa_named
from backend.lower.calls import Convention
from backend.machine.compiled import CompiledCode
from backend.opt.optimise import IDIOMS, OPCODES
from backend.opt.optimise import RULES as IMPROVEMENTS
from backend.options import OPTIONS, Options
from fuzzer.case import Case, OptionValue
from fuzzer.targets.target import Option, Target

_ROOTS: Final = {"cmp": "icmp", "nz": "select", "const": "iconst"}
"""An opcode that asks for what rules with a root of their own give."""


class Builtin(Target):
    """Compiles with :func:`backend.compile.compile_module`."""

    name = "builtin"
    isas = ISA_NAMES
    options: ClassVar[tuple[Option, ...]] = tuple(
        Option(row.name, row.values, row.doc, row.isas, row.feature) for row in OPTIONS if row.drawn
    )

    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {
        "none": {"opt_level": "none"},
        "speed": {"opt_level": "speed"},
    }

    @property
    def version(self) -> str:
        return f"builtin {version('clifhanger')}"

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        return isa_named(isa).supports(op, type_, second)

    def compile(self, case: Case) -> CompiledCode:
        functions = [case.function, *case.others]
        return compile_module(functions, case.isa, Options.from_dict(case.options))

    def prepare(self, isa: str) -> None:
        isa_named(isa).rule_set.compile_all()

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        return len(types) <= isa_named(isa).max_results

    def conventions(self, isa: str) -> Mapping[str, frozenset[Type]]:
        return _conventions(isa)

    def rules(self, isa: str) -> list[str]:
        return [*(rule.name for rule in isa_named(isa).rules), *IMPROVEMENTS]

    def rule_forms(self, isa: str) -> list[list[tuple[str, str]]]:
        lowering = [
            [(op.name, type_ if op.over else "-") for root in rule.pattern.roots for type_ in rule.types
             if (op := opcode_named(_ROOTS.get(root, root)))]
            for rule in isa_named(isa).rules
        ]  # fmt: skip
        improving = [
            [
                (name, type_.name if opcode_named(name).over else "-")
                for name in names
                for type_ in N64
            ]
            for names in OPCODES
        ]
        return lowering + improving

    def idioms(self, isa: str) -> Sequence[str]:
        texts = [rule.text for rule in isa_named(isa).rules if re.search(r"[(#]", rule.text)]
        return list(dict.fromkeys([*IDIOMS, *texts]))

    def rows(self, isa: str) -> list[str]:
        return [row.name for row in isa_named(isa).rows]


@cache
def _conventions(isa: str) -> dict[str, frozenset[Type]]:
    """Those of the backend's own table; what is but another name of the first comes last. ``cold`` is not drawn:
    today's Cranelift could not read the entry."""
    table = {
        name: row
        for name, row in isa_named(isa).calls.conventions.items()
        if not row.pops and name != "cold"
    }
    names = sorted(table, key=lambda name: (bool(name), table[name] is table[""]))
    return {name: frozenset(t for t in SCALARS if not _passes(table[name], t)) for name in names}


def _passes(convention: Convention, type_: Type) -> bool:
    try:
        convention.arguments((AbiParam(type_),))
    except Unsupported:
        return False
    return True
