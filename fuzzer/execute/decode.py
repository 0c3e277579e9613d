"""Machine code as text, by Capstone: the independent reading of what a compiler emitted."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import capstone

_MODES: Final = {
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
}
_WORD_BYTES: Final = {"aarch64": 4, "x86_64": 1}


@cache
def disassembler(isa: str) -> Any:
    """The process's Capstone engine for ``isa``, without details (0.8 us an instruction)."""
    return capstone.Cs(*_MODES[isa])


def decode(isa: str, code: bytes, at: int = 0) -> list[tuple[int, str]]:
    """(offset, text) of each instruction from the start of ``code``; what is none is ``(bad)``.

    ``at``: the address of the first byte, which PC-relative operands are printed with.
    """
    engine = disassembler(isa)
    step = _WORD_BYTES[isa]
    texts: list[tuple[int, str]] = []
    done = 0
    while done < len(code):
        for address, size, mnemonic, operands in engine.disasm_lite(code[done:], at + done):
            texts.append((address - at, f"{mnemonic} {operands}" if operands else mnemonic))
            done = address - at + size
        if done < len(code):
            texts.append((done, "(bad)"))
            done += step
    return texts
