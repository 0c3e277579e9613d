"""Whose death is looked into: the cases that workers died at, most of them of causes that are known by then.

An autopsy shrinks its case a process at a time, and so costs seconds. The first death of a kind always gets one;
the 2nd, 4th, 8th ... get one if nobody else waits.
"""

from __future__ import annotations

from fuzzer.campaign.messages import Order


class Culprits:
    """The causes of death of one campaign; ``waiting``: (order, index) of the cases to examine, in turn."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Order, int]] = []
        self._causes: dict[str, int] = {}

    def blame(self, order: Order, index: int, how: str, *, busy: bool) -> str:
        """Note a death at case ``index`` of an order (-1: at no case); what to tell people of it, or "" if they have
        heard it often. ``busy``: an autopsy is being made.
        """
        cause = how if index >= 0 else f"{how} idle"
        count = self._causes[cause] = self._causes.get(cause, 0) + 1
        if index < 0:
            return f"a worker died ({how}) before its first case" if count == 1 else ""
        if count != 1 and (count & (count - 1) or busy or self.waiting):
            return ""
        self.waiting.append((order, index))
        so_far = f", {count} so far" if count > 1 else ""
        return f"a worker died ({how}) at case {order.slice}/{index}{so_far}"
