"""The worker processes of this machine: given orders, buried when they die, replaced.

A worker that dies or hangs leaves the case it was at in shared memory: the culprit is examined in a process of its own
(an autopsy), and the rest of its order is given to a new worker, without the culprit. So an order is always
carried out in the end, and what it comes to does not depend on who died when.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Final

from fuzzer.campaign import record as phases
from fuzzer.campaign.messages import (
    Broken,
    Died,
    Done,
    Found,
    Message,
    Order,
    Progress,
    Tried,
    decode,
    encode,
)
from fuzzer.campaign.record import InFlight
from fuzzer.campaign.settings import Settings

_HOPELESS: Final = 50
"""Deaths more than cases tried after which the fuzzer itself must be broken."""


class _Hand:
    """One worker as its parent sees it."""

    def __init__(self, context: Any, settings: Settings) -> None:
        from fuzzer.campaign.worker import main

        self.in_flight = InFlight()
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=main, args=(settings, theirs, self.in_flight, os.getpid())
        )
        self.process.start()
        theirs.close()
        self.order: Order | None = None
        self.draft: Found | None = None

    def give(self, order: Order) -> None:
        self.order = order
        self.draft = None
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(encode(order))

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class _Autopsy:
    """A culprit being examined in a process of its own, while the campaign goes on."""

    def __init__(self, context: Any, settings: Settings, order: Order, index: int) -> None:
        self.order = order
        self.index = index
        self.draft: Found | None = None
        self.heard = False
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(
            target=_autopsy, args=(settings, order, index, theirs, os.getpid())
        )
        self.process.start()
        theirs.close()

    def hear(self) -> Found | None:
        """What it says next; None once it has no more to say."""
        with contextlib.suppress(EOFError, OSError):
            message = decode(self.pipe.recv_bytes())
            if isinstance(message, Found):
                return message
        return None

    def stop(self) -> None:
        self.process.kill()
        self.process.join()
        self.pipe.close()


class Crew:
    """``workers`` processes. :meth:`give` orders while :attr:`idle`, :meth:`hear` what comes of them."""

    def __init__(self, settings: Settings, workers: int) -> None:
        self.settings = settings
        self._context = multiprocessing.get_context("fork")
        self._autopsies: list[_Autopsy] = []
        self._suspected: list[tuple[Order, int]] = []
        self._causes: dict[str, int] = {}
        self._stopping = False
        self._deaths = self._tried = 0
        self._hands = [_Hand(self._context, settings) for _ in range(workers)]

    @property
    def idle(self) -> int:
        """How many orders could be begun at once."""
        return sum(hand.order is None for hand in self._hands)

    @property
    def working(self) -> int:
        """How many workers have something to do."""
        return len(self._hands) - self.idle

    @property
    def busy(self) -> bool:
        """Is there anything left to hear?"""
        return bool(self.working or self._autopsies or self._suspected)

    def give(self, order: Order) -> None:
        """Have an idle worker carry an order out."""
        next(hand for hand in self._hands if hand.order is None).give(order)

    def finish(self) -> None:
        """No further cases: finish what was begun."""
        self._stopping = True
        for hand in self._hands:
            hand.in_flight.stop()

    def stop(self) -> Iterator[Message]:
        """End every process now; what can still be said is."""
        speakers: list[_Hand | _Autopsy] = [*self._hands, *self._autopsies]
        for speaker in speakers:
            speaker.stop()
        for speaker in speakers:
            yield from self._last_draft(speaker)

    def hear(self, seconds: float) -> Iterator[Message]:
        """What workers and autopsies say within ``seconds``."""
        self._examine_next()
        speakers: dict[Any, _Hand | _Autopsy] = {h.pipe: h for h in self._hands if h.order}
        speakers |= {autopsy.pipe: autopsy for autopsy in self._autopsies}
        for ready in wait(list(speakers), seconds):
            speaker = speakers[ready]
            yield from self._hear(speaker) if isinstance(speaker, _Hand) else self._follow(speaker)
        yield from self._watch_clocks()

    def _hear(self, hand: _Hand) -> Iterator[Message]:
        try:
            message = decode(hand.pipe.recv_bytes())
        except (EOFError, OSError):
            yield from self._bury(hand, "")
            return
        assert hand.order is not None
        if isinstance(message, Found):
            if message.verdict == "draft":
                hand.draft = message
                return
            hand.draft = None
        elif isinstance(message, Tried):
            self._tried += message.functions
            if hand.order.counted:
                return
            message.functions += len(hand.order.skip)
            hand.order.counted = True
        elif isinstance(message, Done):
            hand.order = None
        elif isinstance(message, Progress) and hand.order.counted:
            return
        yield message

    @staticmethod
    def _last_draft(speaker: _Hand | _Autopsy) -> Iterator[Message]:
        """Its sender will not shrink it any more: the finding stays as it is."""
        if speaker.draft is not None:
            speaker.draft.verdict = "new"
            yield speaker.draft
            speaker.draft = None

    # -- deaths

    def _watch_clocks(self) -> Iterator[Message]:
        now = time.monotonic()
        for hand in list(self._hands):
            if hand.order is None:
                continue
            phase, _, _, since = hand.in_flight.read()
            if phase != phases.IDLE and now - since > self.settings.timeout:
                with contextlib.suppress(OSError, TypeError):
                    os.kill(hand.process.pid, signal.SIGUSR1)
                    time.sleep(0.05)
                if hand.in_flight.read()[3] != since:
                    continue  # it moves after all: the record was read while it was written
                yield from self._bury(hand, f"no answer for {self.settings.timeout:g}s")

    def _bury(self, hand: _Hand, why: str) -> Iterator[Message]:
        """The worker is dead or hopeless: blame the case in flight, have the rest done by a new one."""
        order = hand.order
        hand.process.join(0.5 if not why else 0)
        how = why or _exit_text(hand.process.exitcode)
        hand.stop()
        yield from self._last_draft(hand)
        assert order is not None
        phase, _, index, _ = hand.in_flight.read()
        self._hands.remove(hand)
        self._deaths += 1
        if phase == phases.IDLE:
            first = self._causes.setdefault(f"{how} idle", self._deaths) == self._deaths
            yield Died(f"a worker died ({how}) before its first case" if first else "")
        else:
            order.skip.append(index)
            yield Died(self._suspect(order, index, how))
        if self._deaths > _HOPELESS + self._tried:
            yield Broken("workers", f"{self._deaths} workers died, last of {how}")
            return
        heir = _Hand(self._context, self.settings)
        self._hands.append(heir)
        if self._stopping:
            heir.in_flight.stop()
        heir.give(order)

    def _suspect(self, order: Order, index: int, how: str) -> str:
        """The first of a kind waits for its autopsy; the 2nd, 4th ... are looked at if nobody waits."""
        count = self._causes[how] = self._causes.get(how, 0) + 1
        busy = bool(self._autopsies or self._suspected)
        if count != 1 and (count & (count - 1) or busy):
            return ""
        self._suspected.append((order, index))
        so_far = f", {count} so far" if count > 1 else ""
        return f"a worker died ({how}) at case {order.slice}/{index}{so_far}"

    def _examine_next(self) -> None:
        """One autopsy at a time: the workers have the machine."""
        if self._suspected and not self._autopsies:
            order, index = self._suspected.pop(0)
            self._autopsies.append(_Autopsy(self._context, self.settings, order, index))

    def _follow(self, autopsy: _Autopsy) -> Iterator[Message]:
        found = autopsy.hear()
        if found is not None:
            autopsy.heard = True
            if found.verdict == "draft":
                autopsy.draft = found
            else:
                autopsy.draft = None
                yield found
            return
        if not autopsy.heard:
            yield Died(f"case {autopsy.order.slice}/{autopsy.index} by itself lives", worker=False)
        yield from self._last_draft(autopsy)
        autopsy.stop()
        self._autopsies.remove(autopsy)


def _autopsy(settings: Settings, order: Order, index: int, pipe: Connection, parent: int) -> None:
    from fuzzer.campaign.autopsy import examine
    from fuzzer.campaign.isolated import die_with_parent

    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for found in examine(settings, order, index):
        pipe.send_bytes(encode(found))
    pipe.close()
    os._exit(0)


def _exit_text(code: int | None) -> str:
    if code is None:
        return "it closed its pipe"
    if code < 0:
        return signal.Signals(-code).name
    return f"exit status {code}"
