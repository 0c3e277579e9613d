"""x86-64's label uses: one row a format, all four bytes at the end of their instruction.

Source: Intel's manual, volume 2, JMP, Jcc, LEA: a displacement counts from the end of the instruction.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from backend.machine.labels import LabelUse

JUMP_CODE: Final = bytes.fromhex("e900000000")
NOP_WORD: Final = 0x0040_1F0F
"""``nop dword ptr [rax]``: four bytes."""
_FAR: Final = (1 << 31) - 1
_BACK: Final = (1 << 31) - 4
_WIDE: Final = ((0, 32, 0),)


@cache
def label_uses(reach: int = 0) -> dict[str, LabelUse]:
    """All label uses by name. ``reach``: pretend that conditional branches reach this many bytes only."""
    jump = LabelUse("jump32", _FAR, _BACK, _WIDE, align=1, origin=4)

    def veneered(name: str, limit: int) -> LabelUse:
        return LabelUse(
            name, limit, min(limit, _BACK), _WIDE, align=1, origin=4,
            veneer=jump, veneer_code=JUMP_CODE, veneer_at=1,
        )  # fmt: skip

    uses = [
        jump,
        veneered("cond32", min(reach, _FAR) if reach else _FAR),
        # the way out of a jump table, whose length must not matter under a pretended reach
        veneered("default32", _FAR),
        LabelUse("pool32", _FAR, _BACK, _WIDE, align=1, origin=4),
        LabelUse("address32", _FAR, _BACK, _WIDE, align=1, origin=4),
        # relocations: a call, a jump to another function or its address
        LabelUse("pc_rel32", _FAR, _BACK, _WIDE, align=1, origin=4),
        # the distance from the entry itself
        LabelUse("table32", _FAR, _BACK, _WIDE, align=1),
    ]
    return {use.name: use for use in uses}
