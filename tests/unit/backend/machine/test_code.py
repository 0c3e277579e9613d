"""The code container: growth, ownership, and red zones that see a wrong capacity check."""

from __future__ import annotations

import pytest

from backend.errors import BufferError
from backend.machine.code import ZONE, CodeBuffer


def test_grows_by_doubling_and_keeps_what_was_put() -> None:
    code = CodeBuffer(16)
    words = [0x0101_0101 * i for i in range(9)]
    for word in words:
        code.put4(word)
    assert (code.capacity, code.length) == (64, 36)
    assert code.damage() == []
    assert code.take() == b"".join(w.to_bytes(4, "little") for w in words)


def test_exactly_full_does_not_grow() -> None:
    code = CodeBuffer(16)
    code.put(bytes(16))
    assert code.capacity == 16
    code.put4(0)
    assert code.capacity == 32


def test_taken_once() -> None:
    code = CodeBuffer()
    code.put4(1)
    code.take()
    for act in (code.take, lambda: code.put4(2), lambda: code.put(b"x"), lambda: code.patch4(0, 3)):
        with pytest.raises(BufferError):
            act()
    assert code.taken == 2


def test_a_patch_must_be_inside() -> None:
    code = CodeBuffer()
    code.put4(1)
    code.patch4(0, 7)
    assert code.read4(0) == 7
    for offset in (-1, 1, 4):
        with pytest.raises(BufferError, match="claimed"):
            code.patch4(offset, 0)


class OffByOneWord(CodeBuffer):
    """The classic: room for one word more than there is."""

    def put4(self, word: int) -> None:
        self._room = self.capacity + 4
        super().put4(word)


@pytest.mark.parametrize("words", [5, 6, 9, 20])
def test_an_off_by_one_capacity_check_is_seen(words: int) -> None:
    code = OffByOneWord(16)
    for i in range(words):
        code.put4(i)
    assert code.damage()


@pytest.mark.parametrize(
    ("at", "where"),
    [
        (0, "before"),
        (ZONE - 4, "before"),
        (ZONE + 16, "past the capacity"),
        (ZONE + 28, "past the capacity"),
    ],
)
def test_a_stray_write_is_seen_and_outlives_growth(at: int, where: str) -> None:
    code = CodeBuffer(16)
    code.put4(1)
    code._store[at : at + 4] = b"\0\1\2\3"
    assert [where in line for line in code.damage()] == [True]
    for i in range(5):
        code.put4(i)
    assert [where in line for line in code.damage()] == [True]


def test_a_write_past_the_length_is_seen() -> None:
    code = CodeBuffer(16)
    code.put4(1)
    code._store[ZONE + 4 : ZONE + 8] = b"\0\1\2\3"
    assert code.damage() == ["bytes 4..8 written past the length"]
