"""Label uses: how a branch, or a load from the constant pool, encodes the distance to a label.

One row an instruction format, so that the code buffer knows no instruction and a test can invent a
format with a reach of 32 bytes to force veneers. The distance ("delta") is always counted in bytes
from the first byte of the patched word to the label; what a format counts from elsewhere
(``origin``) is its own affair.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from backend.errors import BufferError


class ShortForm(NamedTuple):
    """What an instruction may become whose label is near. ``use``: of the single byte that holds the distance then;
    ``heads``: what comes before the word -> what comes before that byte."""

    use: LabelUse
    heads: Mapping[bytes, bytes]


class LabelUse:
    """One way to refer to a label from a 32-bit word, or from a byte.

    ``max_pos``, ``max_neg``: the reach in bytes, forwards and backwards (both not negative).
    ``slices``: ``(source_lo, width, word_lo)``: ``width`` bits of the delta, from bit ``source_lo``
    up, go to bit ``word_lo`` of the word. ``align``: what the delta must be a multiple of.
    ``origin``: where the encoded distance begins, in bytes from the patched word (x86: 4, its end).
    ``veneer``: the use inside the piece of code that this one can branch to when the label is too
    far (None: there is no such code); ``veneer_code``: that code; ``veneer_at``: offset in it of
    the word that ``veneer`` patches. ``short``: the short form of instructions that refer to a label
    in this way (None: they have none).
    """

    __slots__ = ("_clear", "align", "max_neg", "max_pos", "name", "origin", "short", "slices", "veneer",
                 "veneer_at", "veneer_code")  # fmt: skip

    def __init__(
        self,
        name: str,
        max_pos: int,
        max_neg: int,
        slices: tuple[tuple[int, int, int], ...],
        *,
        align: int = 4,
        origin: int = 0,
        veneer: LabelUse | None = None,
        veneer_code: bytes = b"",
        veneer_at: int = 0,
        short: ShortForm | None = None,
    ) -> None:
        self.name = name
        self.max_pos = max_pos
        self.max_neg = max_neg
        self.slices = slices
        self.align = align
        self.origin = origin
        self.veneer = veneer
        self.veneer_code = veneer_code
        self.veneer_at = veneer_at
        self.short = short
        clear = 0
        for _, width, word_lo in slices:
            clear |= ((1 << width) - 1) << word_lo
        self._clear = 0xFFFF_FFFF & ~clear

    def reaches(self, delta: int) -> bool:
        return -self.max_neg <= delta <= self.max_pos

    def patch(self, word: int, delta: int) -> int:
        """``word`` with the field set to ``delta`` bytes. BufferError if it is out of reach or
        unaligned.
        """
        if not -self.max_neg <= delta <= self.max_pos:
            raise BufferError(
                f"{self.name}: {delta} bytes are out of reach ({-self.max_neg}..{self.max_pos})"
            )
        if delta % self.align:
            raise BufferError(f"{self.name}: {delta} is no multiple of {self.align}")
        delta -= self.origin
        word &= self._clear
        for source_lo, width, word_lo in self.slices:
            word |= ((delta >> source_lo) & ((1 << width) - 1)) << word_lo
        return word

    def read(self, word: int) -> int:
        """The delta that ``word`` encodes: the inverse of :meth:`patch`."""
        delta, top = 0, 0
        for source_lo, width, word_lo in self.slices:
            delta |= ((word >> word_lo) & ((1 << width) - 1)) << source_lo
            top = max(top, source_lo + width)
        if self.max_neg and delta >> (top - 1):
            delta -= 1 << top
        return delta + self.origin

    def __repr__(self) -> str:
        return f"<label use {self.name} {-self.max_neg}..{self.max_pos}>"
