"""Putting a compiled case into an emulator, with what it refers to."""

from __future__ import annotations

from backend.machine.compiled import CompiledCode
from fuzzer.case import Case
from fuzzer.execute.emulator import Emulator
from fuzzer.execute.relocate import Linkage, declared


def load(engine: Emulator, case: Case, code: CompiledCode) -> None:
    """Make the case's function what ``engine`` runs. ExecutorLimit if it can't."""
    linkage = None
    if code.relocs:
        signatures = declared((case.function, *case.others))
        linkage = Linkage(code.relocs, code.symbols, signatures)
    engine.load(
        code.code,
        case.function.signature,
        len(case.memory),
        code.symbols.get("entry", 0),
        linkage,
    )
