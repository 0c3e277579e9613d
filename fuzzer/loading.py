"""Putting a compiled case into an emulator, with what it refers to."""

from __future__ import annotations

from functools import cache

from backend.ir.entities import Signature
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case
from fuzzer.execute.conventions import CONVENTIONS, in_dialect
from fuzzer.execute.emulator import Emulator
from fuzzer.execute.relocate import Linkage, declared


def load(engine: Emulator, case: Case, code: CompiledCode) -> None:
    """Make the case's function what ``engine`` runs. ExecutorLimit if it can't."""
    linkage = None
    signature = case.function.signature
    if code.relocs:
        signatures = declared((case.function, *case.others))
        if code.dialect:
            signatures = {
                name: sig and as_called(case.isa, code.dialect, sig)
                for name, sig in signatures.items()
            }
        linkage = Linkage(code.relocs, code.symbols, signatures)
    if code.dialect:
        signature = as_called(case.isa, code.dialect, signature)
    engine.load(
        code.code,
        signature,
        len(case.memory),
        code.symbols.get("entry", 0),
        linkage,
    )


@cache
def as_called(isa: str, dialect: str, signature: Signature) -> Signature:
    """The signature in terms of the executor: its convention is the dialect's, if that has one of its own, and nothing
    is extended where that does not."""
    table, name = CONVENTIONS[isa], in_dialect(dialect, signature.callconv)
    if name not in table:
        return signature
    params, returns = signature.params, signature.returns
    if not table[name].extends:
        params = tuple(param._replace(extension="") for param in params)
        returns = tuple(param._replace(extension="") for param in returns)
    return Signature(params, returns, name)
