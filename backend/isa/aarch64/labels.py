"""AArch64's label uses: one row a format. Source: Arm ARM, C6.2 (B, B.cond, TBZ, ADR, LDR literal)."""

from __future__ import annotations

from functools import cache
from typing import Final

from backend.machine.labels import LabelUse

B_WORD: Final = 0x1400_0000
NOP_WORD: Final = 0xD503_201F


def _reach(bits: int, unit: int) -> tuple[int, int]:
    """Forwards and backwards, of a signed field of ``bits`` in units of ``unit`` bytes."""
    return ((1 << (bits - 1)) - 1) * unit, (1 << (bits - 1)) * unit


@cache
def label_uses(reach: int = 0) -> dict[str, LabelUse]:
    """All label uses by name. ``reach``: pretend that the short branches reach this many bytes only."""
    branch = LabelUse("branch26", *_reach(26, 4), ((2, 26, 0),))

    def short(name: str, bits: int, word_lo: int) -> LabelUse:
        forwards, backwards = _reach(bits, 4)
        if reach:
            forwards, backwards = min(reach, forwards), min(reach, backwards)
        return LabelUse(
            name,
            forwards,
            backwards,
            ((2, bits, word_lo),),
            veneer=branch,
            veneer_code=B_WORD.to_bytes(4, "little"),
        )

    uses = [
        branch,
        short("cond19", 19, 5),
        short("test14", 14, 5),
        # the way out of a jump table, whose length must not matter under a pretended reach
        LabelUse("default19", *_reach(19, 4), ((2, 19, 5),), veneer=branch,
                 veneer_code=B_WORD.to_bytes(4, "little")),
        LabelUse("literal19", *_reach(19, 4), ((2, 19, 5),)),
        # relocations: a call, a jump to another function
        LabelUse("call26", *_reach(26, 4), ((2, 26, 0),)),
        LabelUse("adr21", *_reach(21, 1), ((0, 2, 29), (2, 19, 5)), align=1),
        LabelUse("table32", (1 << 31) - 1, 1 << 31, ((0, 32, 0),)),
    ]  # fmt: skip
    return {use.name: use for use in uses}
