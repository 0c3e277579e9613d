"""Machine code as text, by Capstone: the independent reading of what a compiler emitted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import capstone

_MODES: Final = {
    "aarch64": (capstone.CS_ARCH_ARM64, capstone.CS_MODE_LITTLE_ENDIAN),
    "x86_64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64),
    "riscv64": (capstone.CS_ARCH_RISCV, capstone.CS_MODE_RISCV64 | capstone.CS_MODE_RISCVC),
    "s390x": (capstone.CS_ARCH_SYSZ, capstone.CS_MODE_BIG_ENDIAN),
    "arm": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM | capstone.CS_MODE_V8),
    "mips64": (capstone.CS_ARCH_MIPS, capstone.CS_MODE_MIPS64 | capstone.CS_MODE_BIG_ENDIAN),
    "ppc64le": (capstone.CS_ARCH_PPC, capstone.CS_MODE_64 | capstone.CS_MODE_LITTLE_ENDIAN),
}
DECODED: Final = frozenset(_MODES)
"""The ISAs that Capstone knows."""
DECODED_WHOLE: Final = DECODED - {"mips64"}
"""Those that Capstone 5.0 knows all of: what is new in release 6 of MIPS64 is ``(bad)`` to it, or something else."""
_WORD_BYTES: Final = {
    "aarch64": 4,
    "x86_64": 1,
    "riscv64": 2,
    "s390x": 2,
    "arm": 4,
    "mips64": 4,
    "ppc64le": 4,
}


@cache
def disassembler(isa: str) -> Any:
    """The process's Capstone engine for ``isa``, without details (0.8 us an instruction)."""
    return capstone.Cs(*_MODES[isa])


_UD1: Final = re.compile(rb"\x67?\x0f\xb9([\x00-\xff])", re.DOTALL)


def _ud1(code: bytes, at: int) -> tuple[str, int]:
    """UD1 at ``at`` whole, and where it ends, or nothing: Capstone 5.0 reads it without ModRM and what follows that,
    or not at all."""
    found = _UD1.match(code, at)
    if found is None:
        return "", at
    modrm = found[1][0]
    size = {0: 0, 1: 1, 2: 4}.get(modrm >> 6, 0)
    end = found.end() + (modrm >> 6 != 3 and modrm & 7 == 4)
    number = int.from_bytes(code[end : end + size], "little")
    return f"ud1 {number:#x}", end + size


def decode(isa: str, code: bytes, at: int = 0) -> list[tuple[int, str]]:
    """(offset, text) of each instruction from the start of ``code``; what is none is ``(bad)``.

    ``at``: the address of the first byte, which PC-relative operands are printed with. Of an ISA that is not among
    :data:`DECODED` the words of four bytes, as numbers.
    """
    if isa not in DECODED:
        return [(n, f".word 0x{code[n : n + 4][::-1].hex()}") for n in range(0, len(code), 4)]
    engine = disassembler(isa)
    step = _WORD_BYTES[isa]
    texts: list[tuple[int, str]] = []
    done = 0
    while done < len(code):
        for address, size, mnemonic, operands in engine.disasm_lite(code[done:], at + done):
            texts.append((address - at, f"{mnemonic} {operands}" if operands else mnemonic))
            if mnemonic == "ud1":
                del texts[-1]
                break
            done = address - at + size
        if done < len(code):
            text, end = _ud1(code, done) if step == 1 else ("", done)
            texts.append((done, text or "(bad)"))
            done = end if text else done + step
    return texts


def instructions(
    isa: str, code: bytes, data: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, str]]:
    """(offset, end, text) of each instruction outside the ranges of ``data``. Behind each of those reading begins anew:
    where instructions differ in length, bytes that are none would put it out of step."""
    start = 0
    for lo, hi in [*sorted(data), (len(code), len(code))]:
        found = decode(isa, code[start:lo], start)
        for number, (at, text) in enumerate(found, 1):
            end = found[number][0] if number < len(found) else lo - start
            yield start + at, start + end, text
        start = max(start, hi)


def listing(isa: str, code: bytes, data: Sequence[tuple[int, int]] = ()) -> str:
    """The code, a line for each instruction and for each range of data."""
    lines = [(at, text) for at, _, text in instructions(isa, code, data)]
    lines += [(start, f"{code[start:end].hex()} (data)") for start, end in data]
    return "\n".join(f"{at:6x}: {text}" for at, text in sorted(lines))
