"""The worker processes of this machine: given orders, buried when they die, replaced.

A worker that dies or hangs leaves the case it was at in shared memory: the culprit is examined in a process of its own
(an autopsy), and the rest of its order is given to a new worker, without the culprit. A worker that was killed by a
signal from outside has its case tried again before it counts as the culprit. So an order is always
carried out in the end, and what it comes to does not depend on who died when.

**Invariant.** ``Done`` is said of a slice when nothing more can come of it, autopsies included: until then it would be
lost if the campaign were killed.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any, Final

import msgspec

from fuzzer.campaign import record as phases
from fuzzer.campaign.culprits import Culprits
from fuzzer.campaign.isolated import signal_name
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
from fuzzer.campaign.orphans import Orphans, exit_handle
from fuzzer.campaign.record import InFlight
from fuzzer.campaign.settings import Settings
from fuzzer.corpus.entry import EntryError, parse_entry
from fuzzer.corpus.store import Store

_HOPELESS: Final = 50
"""Deaths more than cases tried after which the fuzzer itself must be broken."""
_REAP_EVERY: Final = 1.0
_FROM_OUTSIDE: Final = ("SIGKILL", "SIGTERM")
"""What processes die of through no fault of their own: somebody's kill, too little memory on the machine."""
_SPARED: Final = 3
"""Times that a case is tried again after such a death before it counts as the culprit."""


class _Child:
    """A process that says something through a pipe. ``ended``: see :func:`exit_handle`; ``draft``: a finding that it
    has told and is still shrinking.
    """

    def __init__(self, context: Any, work: Callable[[Connection, int], None]) -> None:
        """``work`` gets its end of the pipe and the number of this process."""
        self.pipe, theirs = context.Pipe()
        self.process = context.Process(target=_begin, args=(work, theirs, self.pipe, os.getpid()))
        self.process.start()
        theirs.close()
        self.ended = exit_handle(self.process.pid)
        self.draft: Found | None = None

    def say(self) -> Message | None:
        """What it says next, once it was seen to say something or to end; None if it never will again.

        msgspec.DecodeError if that is nonsense. What it left behind may hold its pipe open.
        """
        with contextlib.suppress(EOFError, OSError):
            if self.pipe.poll():
                return decode(self.pipe.recv_bytes())
        return None

    def findings(self) -> Iterator[Found]:
        """Those that it has said and nobody has heard yet."""
        with contextlib.suppress(msgspec.DecodeError):
            while (message := self.say()) is not None:
                if isinstance(message, Found):
                    self.draft = message if message.verdict == "draft" else None
                    yield message

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def close(self) -> None:
        self.pipe.close()
        if self.ended >= 0:
            os.close(self.ended)
            self.ended = -1


class _Hand(_Child):
    """One worker as its parent sees it."""

    def __init__(self, context: Any, settings: Settings) -> None:
        from fuzzer.campaign.worker import main

        self.in_flight = InFlight()
        super().__init__(context, lambda pipe, parent: main(settings, pipe, self.in_flight, parent))
        self.order: Order | None = None

    def give(self, order: Order) -> None:
        self.order = order
        self.draft = None
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(encode(order))


class _Autopsy(_Child):
    """A culprit being examined in a process of its own, while the campaign goes on."""

    def __init__(self, context: Any, settings: Settings, order: Order, index: int) -> None:
        self.order = order
        self.index = index
        self.heard = False
        super().__init__(
            context, lambda pipe, parent: _autopsy(settings, order, index, pipe, parent)
        )


class Crew:
    """``workers`` processes. :meth:`give` orders while :attr:`idle`, :meth:`hear` what comes of them.

    ``examines``: looks into deaths by itself. One that does not says how its workers died and at which case, and
    leaves it to others whom to :meth:`examine`.
    """

    def __init__(self, settings: Settings, workers: int, *, examines: bool = True) -> None:
        self.settings = settings
        self._examines = examines
        self._context = multiprocessing.get_context("fork")
        self._autopsies: list[_Autopsy] = []
        self._culprits = Culprits()
        self._stopping = False
        self._deaths = self._tried = self._spared = 0
        self._store = Store(settings.corpus)
        #: how often a case, (slice, index), was tried again; which ones were examined again
        self._again: Counter[tuple[int, int]] = Counter()
        self._examined_again: set[tuple[int, int]] = set()
        self._withheld: list[Done] = []
        self._orphans = Orphans()
        self._reap_at = 0.0
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
        return bool(self.working or self._autopsies or self._culprits.waiting)

    def give(self, order: Order) -> None:
        """Have an idle worker carry an order out."""
        next(hand for hand in self._hands if hand.order is None).give(order)

    def examine(self, order: Order, index: int) -> None:
        """Have an autopsy made of a case."""
        self._culprits.waiting.append((order, index))

    def finish(self) -> None:
        """No further cases: finish what was begun."""
        self._stopping = True
        for hand in self._hands:
            hand.in_flight.stop()

    def stop(self) -> Iterator[Message]:
        """End every process now; what can still be said is."""
        speakers: list[_Child] = [*self._hands, *self._autopsies]
        for speaker in speakers:
            speaker.kill()
        self._orphans.end(())
        self._orphans.release()
        for speaker in speakers:
            for found in speaker.findings():
                if found.verdict != "draft":
                    yield found
            yield from self._keep_draft(speaker)
            speaker.close()

    def hear(self, seconds: float) -> Iterator[Message]:
        """What workers and autopsies say within ``seconds``."""
        self._examine_next()
        speakers: dict[Any, _Child] = {}
        for child in (*(hand for hand in self._hands if hand.order), *self._autopsies):
            speakers[child.pipe] = child
            if child.ended >= 0:
                speakers[child.ended] = child
        for speaker in dict.fromkeys(speakers[ready] for ready in wait(list(speakers), seconds)):
            if isinstance(speaker, _Hand):
                yield from self._hear(speaker)
            elif isinstance(speaker, _Autopsy):
                yield from self._follow(speaker)
        yield from self._watch_clocks()
        yield from self._release()
        if time.monotonic() > self._reap_at:
            self._reap_at = time.monotonic() + _REAP_EVERY
            self._orphans.reap(self._living())

    def _hear(self, hand: _Hand) -> Iterator[Message]:
        try:
            message = hand.say()
        except msgspec.DecodeError:
            yield from self._bury(hand, "it talks nonsense")
            return
        if message is None:
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
            message.functions += sum(index < message.stop for index in hand.order.skip)
            hand.order.counted = True
        elif isinstance(message, Done):
            hand.order = None
            self._withheld.append(message)
            return
        elif isinstance(message, Progress) and hand.order.counted:
            return
        elif isinstance(message, Broken):  # its last word; the campaign ends
            self._hands.remove(hand)
            self._end(hand)
            yield message
            yield from self._keep_draft(hand)
            return
        yield message

    def _release(self) -> Iterator[Message]:
        """Say of those slices that they are done of which nothing more can come."""
        for done in list(self._withheld):
            examined = [autopsy.order for autopsy in self._autopsies]
            examined += [order for order, _ in self._culprits.waiting]
            if all(order.slice != done.slice for order in examined):
                self._withheld.remove(done)
                yield done

    def _keep_draft(self, speaker: _Child) -> Iterator[Message]:
        """Its sender will not shrink it any more: the finding is put on disk as it is."""
        draft, speaker.draft = speaker.draft, None
        if draft is None:
            return
        try:
            path, verdict = self._store.save(parse_entry(draft.text, draft.path), draft.text)
        except OSError as error:
            yield Broken("corpus", f"{self._store.root}: {error.strerror}", full=True)
        except EntryError as error:
            yield Broken("draft", str(error))
        else:
            kept = "new" if verdict == "new" else "known"
            yield msgspec.structs.replace(draft, path=str(path), verdict=kept)

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
        assert order is not None
        hand.process.join(0.5 if not why else 0)
        how = why or _exit_text(hand.process.exitcode)
        phase, _, index, _ = hand.in_flight.read()
        self._hands.remove(hand)
        self._end(hand)
        self._deaths += 1
        case = (order.slice, index)
        if phase == phases.IDLE:
            index = -1
        elif how in _FROM_OUTSIDE and self._again[case] < _SPARED and not self._stopping:
            self._again[case] += 1
            hand.draft = None
        else:
            order.skip.append(index)
        yield from self._keep_draft(hand)
        if index >= 0 and index not in order.skip:
            yield Died(self._spare(order, index, how))
        elif self._examines:
            yield Died(self._culprits.blame(order, index, how, busy=bool(self._autopsies)))
        else:
            yield Died(how=how, index=index)
        if self._deaths > _HOPELESS + self._tried:
            yield Broken("workers", f"{self._deaths} workers died, last of {how}")
            return
        heir = _Hand(self._context, self.settings)
        self._hands.append(heir)
        if self._stopping:
            heir.in_flight.stop()
        heir.give(order)

    def _spare(self, order: Order, index: int, how: str) -> str:
        """What to tell people of a death that the case may have nothing to do with; "" if they have heard it often."""
        self._spared += 1
        if self._spared & (self._spared - 1):
            return ""
        return f"a worker died ({how}) at case {order.slice}/{index}, which is tried again"

    def _end(self, child: _Child) -> None:
        """See to it that a process is gone, and what it may leave behind."""
        child.kill()
        child.close()
        self._orphans.end(self._living())

    def _living(self) -> list[int]:
        return [child.process.pid for child in (*self._hands, *self._autopsies)]

    def _examine_next(self) -> None:
        """One autopsy at a time: the workers have the machine."""
        if self._culprits.waiting and not self._autopsies:
            order, index = self._culprits.waiting.pop(0)
            self._autopsies.append(_Autopsy(self._context, self.settings, order, index))

    def _follow(self, autopsy: _Autopsy) -> Iterator[Message]:
        message = None
        with contextlib.suppress(msgspec.DecodeError):
            message = autopsy.say()
        if isinstance(message, Found):
            autopsy.heard = True
            autopsy.draft = message if message.verdict == "draft" else None
            if autopsy.draft is None:
                yield message
            return
        if message is not None:
            yield message
            return
        autopsy.process.join(0.5)
        code = autopsy.process.exitcode
        case = (autopsy.order.slice, autopsy.index)
        self._autopsies.remove(autopsy)
        self._end(autopsy)
        outside = code is not None and code < 0 and signal_name(-code) in _FROM_OUTSIDE
        if outside and case not in self._examined_again and not self._stopping:
            self._examined_again.add(case)
            self._culprits.waiting.insert(0, (autopsy.order, autopsy.index))
        elif not autopsy.heard:
            lives = "by itself lives" if code == 0 else f"could not be examined: {_exit_text(code)}"
            yield Died(f"case {case[0]}/{case[1]} {lives}", worker=False)
        else:
            yield from self._keep_draft(autopsy)


def _begin(
    work: Callable[[Connection, int], None], pipe: Connection, other_end: Connection, parent: int
) -> None:
    """In the child: only the parent holds its end, so that whoever reads from it sees it end."""
    other_end.close()
    work(pipe, parent)


def _autopsy(settings: Settings, order: Order, index: int, pipe: Connection, parent: int) -> None:
    from fuzzer.campaign.autopsy import examine
    from fuzzer.campaign.isolated import die_with_parent

    die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        for found in examine(settings, order, index):
            pipe.send_bytes(encode(found))
    except OSError as error:
        pipe.send_bytes(
            encode(Broken("autopsy", f"{settings.corpus}: {error.strerror}", full=True))
        )
    except Exception:
        pipe.send_bytes(encode(Broken("autopsy", traceback.format_exc())))
    pipe.close()
    os._exit(0)


def _exit_text(code: int | None) -> str:
    if code is None:
        return "it closed its pipe"
    if code < 0:
        return signal_name(-code)
    return f"exit status {code}"
