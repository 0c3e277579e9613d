"""Instructions that the emulator is known to get wrong: a mismatch with one of them proves nothing.

Found by running 93,483 arm64 words against qemu. A trial whose code holds a quarantined instruction is
still run and judged; its violations are marked *suspect*, with the reason given here, and need a
second executor before they may be called the compiler's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from fuzzer.execute.decode import decode


@dataclass(frozen=True, slots=True)
class Fault:
    """One known fault. ``mnemonic``: a regular expression matched against the whole mnemonic."""

    isa: str
    mnemonic: str
    why: str


FAULTS: Final = (
    Fault("aarch64", r"ld(smax|smin)(a|l|al)?[bh]?", "Unicorn 2.1.4: signed LDSMAX/LDSMIN below 64 bits"),
    Fault("aarch64", r"ldra[ab]", "Unicorn 2.1.4: LDRAA/LDRAB"),
)  # fmt: skip

_COMPILED: Final = [(fault, re.compile(fault.mnemonic)) for fault in FAULTS]


def suspicion(isa: str, code: bytes) -> str:
    """Why the executor may be wrong about ``code``, or "" if nothing speaks against it."""
    faults = [(fault, pattern) for fault, pattern in _COMPILED if fault.isa == isa]
    for _, text in decode(isa, code):
        mnemonic = text.partition(" ")[0]
        for fault, pattern in faults:
            if pattern.fullmatch(mnemonic):
                return fault.why
    return ""
