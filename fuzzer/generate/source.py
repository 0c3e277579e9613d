"""Where the generator's choices come from.

A source answers four calls, and the generator is a function of the answers alone. So what
:class:`RecordingSource` wrote down replays bit for bit in Hypothesis, which then shrinks it; and the
campaign does not pay for Hypothesis's engine (13 to 16 us a draw against 0.25).

:class:`HypothesisSource` is the one place that touches Hypothesis's conjecture layer, which is no public API:
hence the exact pin of Hypothesis in pyproject.toml.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from hypothesis.internal.conjecture.data import ConjectureData

Choice = int | bool
Label = int


class Source(Protocol):
    """``start``/``end`` bracket what makes sense to delete as a whole; labels are small ints."""

    def int(self, lo: int, hi: int) -> int:
        """An integer, both ends included; shrinks toward ``lo``."""

    def bool(self, p: float) -> bool:
        """True with probability ``p``; shrinks toward False."""

    def start(self, label: Label) -> None: ...
    def end(self) -> None: ...


class RecordingSource:
    """Pseudo-random choices, written down. The same seed gives the same choices on any machine."""

    __slots__ = ("_bits", "_record", "_uniform", "choices")

    def __init__(self, seed: int) -> None:
        rng = random.Random(seed)
        self._uniform = rng.random
        self._bits = rng.getrandbits
        self.choices: list[Choice] = []
        self._record = self.choices.append

    def int(self, lo: int, hi: int) -> int:
        span = hi - lo + 1
        if span < 1 << 48:
            value = lo + int(self._uniform() * span)
        else:
            value = lo + self._bits(span.bit_length() + 16) % span
        self._record(value)
        return value

    def bool(self, p: float) -> bool:
        value = self._uniform() < p
        self._record(value)
        return value

    def start(self, label: Label) -> None:
        pass

    def end(self) -> None:
        pass


class ReplaySource:
    """Choices from a list; simplest answers once it ends. Out-of-range choices are clamped."""

    __slots__ = ("_at", "_choices")

    def __init__(self, choices: tuple[Choice, ...]) -> None:
        self._choices = choices
        self._at = 0

    def _next(self) -> Choice:
        at = self._at
        self._at = at + 1
        return self._choices[at] if at < len(self._choices) else 0

    def int(self, lo: int, hi: int) -> int:
        return min(max(int(self._next()), lo), hi)

    def bool(self, p: float) -> bool:
        value = bool(self._next())
        return value if 0 < p < 1 else p >= 1

    def start(self, label: Label) -> None:
        pass

    def end(self) -> None:
        pass


class HypothesisSource:
    """Choices from Hypothesis's engine, with spans that it can delete."""

    __slots__ = ("bool", "end", "int", "start")

    def __init__(self, data: ConjectureData) -> None:
        self.int = data.draw_integer
        self.bool = data.draw_boolean
        self.start = data.start_span
        self.end = data.stop_span
