"""x86-64's label uses: one row a format, at the end of their instruction: four bytes, or one in a short form.

Source: Intel's manual, volume 2, JMP, Jcc, LEA: a displacement counts from the end of the instruction.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from backend.isa.x86_64.insts import ROWS
from backend.machine.labels import LabelUse, ShortForm
from backend.machine.rows import Row

JUMP_CODE: Final = bytes.fromhex("e900000000")
NOP_WORD: Final = 0x0040_1F0F
"""``nop dword ptr [rax]``: four bytes."""
_FAR: Final = (1 << 31) - 1
_BACK: Final = (1 << 31) - 4
_WIDE: Final = ((0, 32, 0),)
_NEAR: Final = ((0, 8, 0),)


def _head(row: Row | None, ops: list[int], word: int) -> bytes:
    assert row is not None
    code = row.encode(ops)
    assert isinstance(code, bytes)
    return code[:-word]


def _heads(name: str, every: list[list[int]]) -> dict[bytes, bytes]:
    """What comes before the distance in a branch and in its short form, for all ``every`` operands."""
    return {_head(ROWS[name], ops, 4): _head(ROWS[name].short, ops, 1) for ops in every}


@cache
def label_uses(reach: int = 0) -> dict[str, LabelUse]:
    """All label uses by name. ``reach``: pretend that conditional branches reach this many bytes only."""
    near_jump = LabelUse("jump8", 128, 127, _NEAR, align=1, origin=1)
    near_branch = LabelUse("cond8", 128, 127, _NEAR, align=1, origin=1)
    jump = LabelUse(
        "jump32",
        _FAR,
        _BACK,
        _WIDE,
        align=1,
        origin=4,
        short=ShortForm(near_jump, _heads("jmp", [[0]])),
    )
    branch = ShortForm(near_branch, _heads("jcc", [[condition, 0, 0] for condition in range(16)]))

    def veneered(name: str, limit: int) -> LabelUse:
        return LabelUse(
            name, limit, min(limit, _BACK), _WIDE, align=1, origin=4,
            veneer=jump, veneer_code=JUMP_CODE, veneer_at=1, short=branch,
        )  # fmt: skip

    uses = [
        jump,
        near_jump,
        near_branch,
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
