"""Instructions that a machine has and the emulator does not know: code that meets one stops as if it were none.

A run that stops at one is nobody's fault and says nothing of the code, so it is a limit of the executor; one that
passes by it is a run like any other. Found by running what Capstone names of each opcode with a vector, and of the
opcodes of three and six bytes besides, under Unicorn and under qemu-user 7.2: an instruction that the one stops at and
the other does not. A machine without rows is never looked at.

For s390x that is what z14 added in the vector-enhancements facility 1 and in the miscellaneous-instruction-extensions
facility 2 (z/Architecture Principles of Operation, "Facility Indications", bits 135 and 58).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version
from typing import Final

from fuzzer.execute.decode import disassembler

LONGEST: Final = 16
"""Bytes that are enough for any instruction."""

UNKNOWN: Final[Mapping[str, re.Pattern[str]]] = {
    "s390x": re.compile(
        "|".join((
            r"[vw]f\w+[sx]bs?|wfl(ld|rx)",  # floats of 32 and of 128 bits
            r"[vw]f(min|max|nma|nms)db",
            r"vbperm|vllezlf|vmslg|vpopct[hfg]",
            r"[asm]gh|msg?c|msg?rkc|mgrk|bi\w*",
        ))
    ),
}  # fmt: skip
"""ISA -> the mnemonics."""


def unknown(isa: str, code: bytes) -> str:
    """The instruction at the start of ``code``, by its mnemonic, if the emulator does not know it, else ""."""
    pattern = UNKNOWN.get(isa)
    if pattern is None:
        return ""
    for _, _, mnemonic, _ in disassembler(isa).disasm_lite(code, 0, 1):
        if pattern.fullmatch(mnemonic):
            return str(mnemonic)
    return ""


@cache
def emulator_name() -> str:
    """``Unicorn 2.1.4``."""
    return f"Unicorn {version('unicorn')}"
