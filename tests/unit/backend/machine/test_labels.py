"""Label uses: slices, reach and alignment."""

from __future__ import annotations

import pytest

from backend.errors import BufferError
from backend.machine.labels import LabelUse

BRANCH19 = LabelUse("branch19", (1 << 20) - 4, 1 << 20, ((2, 19, 5),))
ADR = LabelUse("adr", (1 << 20) - 1, 1 << 20, ((0, 2, 29), (2, 19, 5)), align=1)


# Words as an assembler gives them: b.eq .+8, b.eq .-4, b.eq .+0xffffc; adr x1, .+5, adr x1, .-1
@pytest.mark.parametrize(
    ("use", "word", "delta", "expected"),
    [
        (BRANCH19, 0x54000000, 8, 0x54000040),
        (BRANCH19, 0x54000000, -4, 0x54FFFFE0),
        (BRANCH19, 0x54FFFFE0, 0xFFFFC, 0x547FFFE0),
        (ADR, 0x10000001, 5, 0x30000021),
        (ADR, 0x10000001, -1, 0x70FFFFE1),
    ],
)
def test_patch(use: LabelUse, word: int, delta: int, expected: int) -> None:
    assert use.patch(word, delta) == expected
    assert use.read(expected) == delta


@pytest.mark.parametrize("delta", [1 << 20, -(1 << 20) - 4, 2])
def test_refuses(delta: int) -> None:
    with pytest.raises(BufferError):
        BRANCH19.patch(0, delta)
