"""Every opcode that has a meaning here, and which table it is in; that each has exactly one is checked at import.

The meanings are at scalar types: of vectors nothing has one.
"""

from __future__ import annotations

from typing import Final

from backend.ir.opcodes import Opcode, find_opcode, opcode_named
from backend.ir.types import F32, I32, I64
from fuzzer.reference import semantics
from fuzzer.reference.float_semantics import (
    FLOAT_CONDITIONS,
    FLOAT_CONSTANTS,
    FLOAT_CONVERSIONS,
    FLOAT_MEANINGS,
)
from fuzzer.reference.semantics import IMMEDIATE_FORMS, INT_CONDITIONS, LOADS, STORES, Meaning

MEANINGS: Final[dict[Opcode, Meaning]] = {
    opcode_named(name): function
    for name, function in (*semantics.MEANINGS.items(), *FLOAT_MEANINGS.items())
}
"""Opcode to its function of (T, operands...)."""

CONVERSIONS: Final[dict[str, Meaning]] = {**semantics.CONVERSIONS, **FLOAT_CONVERSIONS}
"""Opcode name to its function of ((T, S), operand)."""

CONDITIONS: Final[dict[str, dict[str, Meaning]]] = {
    "icmp": INT_CONDITIONS, "icmp_imm": INT_CONDITIONS, "fcmp": FLOAT_CONDITIONS,
}  # fmt: skip
"""Opcode name to the meanings of its conditions."""

NOTHING: Final = ("fence", "nop", "sequence_point")
"""Opcodes that do nothing one could see here."""

ELSEWHERE: Final = frozenset({
    "iconst", "icmp", "icmp_imm", "fcmp", "stack_addr", "uadd_overflow_trap",
    "atomic_rmw", "atomic_cas", *NOTHING, *FLOAT_CONSTANTS, "global_value", "symbol_value",
    "jump", "brif", "br_table", "return", "trap", "trapz", "trapnz",
    "call", "call_indirect", "return_call", "return_call_indirect", "func_addr",
})  # fmt: skip
"""Opcodes that :mod:`fuzzer.reference.translate` and ``translate_calls`` know by name."""

SUPPORTED: Final = frozenset({
    *(op.name for op in MEANINGS), *CONVERSIONS, *IMMEDIATE_FORMS, *LOADS, *STORES, *ELSEWHERE,
})  # fmt: skip
"""Every opcode that has a meaning here, at scalar types."""


def _check_tables() -> None:
    """Each supported opcode exists, has one meaning, and takes the operands that its row says."""
    tables = (semantics.MEANINGS, FLOAT_MEANINGS, CONVERSIONS, IMMEDIATE_FORMS, LOADS, STORES, ELSEWHERE)  # fmt: skip
    for name in SUPPORTED:
        op = find_opcode(name)
        if op is None:
            raise ValueError(f"{name} has a meaning but no row")
        if sum(name in table for table in tables) != 1:
            raise ValueError(f"{name} has several meanings")
        zeros = [0] * len(op.operands)
        if name in FLOAT_MEANINGS:
            FLOAT_MEANINGS[name](F32, *zeros)
        elif name in FLOAT_CONVERSIONS:
            FLOAT_CONVERSIONS[name]((F32, F32) if name[:4] != "fcvt" else
                                    (I32, F32) if "_to_" in name else (F32, I64), *zeros)  # fmt: skip
        else:
            function = semantics.MEANINGS.get(name) or CONVERSIONS.get(name)
            if function is not None and function.__code__.co_argcount != 1 + len(op.operands):
                raise ValueError(f"{name}: its meaning takes other operands than its row")
    for base, _, _ in IMMEDIATE_FORMS.values():
        if base not in semantics.MEANINGS:
            raise ValueError(f"{base} has no meaning")


_check_tables()
