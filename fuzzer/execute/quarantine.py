"""Instructions that the emulator is known to get wrong: a mismatch with one of them proves nothing.

Found by running 93,483 arm64 and 60,000 riscv64 words against qemu, and 60,000 x86 instructions against a processor.
A trial whose code holds a quarantined instruction is
still run and judged; its violations are marked *suspect*, with the reason given here, and need a
second executor before they may be called the compiler's.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fuzzer.execute.decode import instructions


@dataclass(frozen=True, slots=True)
class Fault:
    """One known fault. ``mnemonic``: a regular expression matched against the whole mnemonic; ``operands``: one
    searched for in the operands."""

    isa: str
    mnemonic: str
    why: str
    operands: str = ""


FAULTS: Final = (
    Fault("aarch64", r"ld(smax|smin)(a|l|al)?[bh]?", "Unicorn 2.1.4: signed LDSMAX/LDSMIN below 64 bits"),
    Fault("aarch64", r"ldra[ab]", "Unicorn 2.1.4: LDRAA/LDRAB"),
    Fault("x86_64", r"bzhi|bextr", "Unicorn 2.1.4: BZHI/BEXTR"),
    Fault("x86_64", r"pdep", "Unicorn 2.1.4: PDEP of 32 bits", r"^e|^r\d+d"),
    Fault("x86_64", r"cmpxchg", "Unicorn 2.1.4: CMPXCHG of 32 bits on failure", r"\be[a-ds]|\br\d+d"),
    Fault("x86_64", r"ph(add|sub)(w|d|sw)", "Unicorn 2.1.4: PHADD/PHSUB of a register with itself", r"^(\w+), \1$"),
    Fault("x86_64", r"blsi", "Unicorn 2.1.4: carry of BLSI"),
    Fault("x86_64", r"shld|shrd|rorx", "Unicorn 2.1.4: SHLD/SHRD/RORX of memory at rip", r"\[rip"),
    Fault("riscv64", r"f(min|max)\.[sd]", "Unicorn 2.1.4: FMIN/FMAX of a signalling NaN"),
    Fault("s390x", r"jg?n?o|loc\w*n?o|ipm", "Unicorn 2.1.4: overflow of a sum with the least integer"),
    Fault("s390x", r"[vw]?cl?[fg][de]br?", "Unicorn 2.1.4: CFDBR, CLGDBR, WCLGDB and their like of a NaN"),
    Fault("s390x", r"mdebr?", "Unicorn 2.1.4: MDEBR takes its first operand for a double"),
    Fault("x86_64", r"v\w+", "Unicorn 2.1.4: VEX-encoded instructions"),
)  # fmt: skip

_COMPILED: Final = [
    (fault, re.compile(fault.mnemonic), re.compile(fault.operands)) for fault in FAULTS
]


def suspicion(isa: str, code: bytes, data: Sequence[tuple[int, int]] = ()) -> str:
    """Why the executor may be wrong about ``code``, or "" if nothing speaks against it. ``data``: ranges of it."""
    faults = [row for row in _COMPILED if row[0].isa == isa]
    if not faults:
        return ""
    for _, _, text in instructions(isa, code, data):
        mnemonic, _, operands = text.removeprefix("lock ").partition(" ")
        for fault, pattern, shape in faults:
            if pattern.fullmatch(mnemonic) and shape.search(operands):
                return fault.why
    return ""
