"""The workers of a Dask cluster, as a campaign sees them.

**Problem.** Workers come late, die, and hang on machines of their own; the scheduler may be gone. What a campaign
finds must not depend on any of that: with the same seed it is what a campaign on one machine finds.

**How.** Each order is one task, :func:`fuzzer.campaign.lessee.serve`, whose result is a function of the order. Its
messages are heard all at once or not at all, so an order whose worker died is simply asked again. Findings come as
text and are put into this campaign's corpus here, which is also what says whether they are new; whose death is
looked into is decided here, too.

**Invariants.** Every order given is in ``_errands`` or ``_homeless`` until its messages were heard. ``Done``
is said of a slice when nothing more can come of it, autopsies included. A worker gets orders once it has shown that it
runs the same code (``_fit``). Nobody waits for what is asked of the scheduler, so the parent answers to Ctrl-C.

Dask itself passes pickles between its processes, so whoever reaches a scheduler's port runs code as its owner. Hence
:func:`fuzzer.campaign.connection.check_address`: loopback, or TLS with certificates on both sides.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import CancelledError
from concurrent.futures import Future as Pending
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, Final

import msgspec

from fuzzer.campaign.connection import ClusterError, check_address
from fuzzer.campaign.culprits import Culprits
from fuzzer.campaign.lease import terms_of
from fuzzer.campaign.lessee import FINISH, STOP, serve
from fuzzer.campaign.messages import (
    Broken,
    Died,
    Done,
    Examine,
    Found,
    Lost,
    Message,
    Order,
    Unfit,
    decode,
    encode,
)
from fuzzer.campaign.settings import Settings
from fuzzer.corpus.entry import EntryError
from fuzzer.corpus.foreign import foreign_entry
from fuzzer.corpus.store import Store

_PATIENCE: Final = 6.0
"""Seconds without a scheduler after which it counts as lost."""
_LOOK_EVERY: Final = 1.0
_AHEAD: Final = 2
"""Orders in flight for each thread: one at work, one on its way."""
_ATTEMPTS: Final = 8
"""Times an order may be lost before the fault is taken to be its own."""
_FETCH: Final = 60.0


class _Errand:
    """A question that is out. ``autopsy``: not the order is asked for, but what one of its cases does. ``workers``:
    the only ones that may have it, or none for any. ``lost``: how often it came to nothing.
    """

    __slots__ = ("autopsy", "future", "lost", "order", "question", "workers")

    def __init__(self, order: Order, question: bytes, autopsy: bool = False) -> None:
        self.order = order
        self.question = question
        self.autopsy = autopsy
        self.future: Any = None
        self.workers: frozenset[str] = frozenset()
        self.lost = 0


class ClusterCrew:
    """:class:`~fuzzer.campaign.campaign.Workers` on a connected ``distributed.Client``.

    Keeps ``settings.workers`` at the number of threads that the cluster has for it.
    """

    def __init__(self, client: Any, settings: Settings) -> None:
        self.settings = settings
        self._client = client
        self._name = f"clifhanger-{uuid.uuid4().hex}"
        self._terms = msgspec.json.encode(terms_of(settings, self._name))
        self._store = Store(settings.corpus)
        self._heard: SimpleQueue[tuple[int, bytes, BaseException | None]] = SimpleQueue()
        self._number = 0
        self._errands: dict[int, _Errand] = {}
        self._homeless: list[_Errand] = []
        #: threads of the workers that may have orders; of all that are there; why others may not
        self._fit: dict[str, int] = {}
        self._present: dict[str, int] = {}
        self._unfit: dict[str, str] = {}
        self._probes: dict[int, tuple[str, Any]] = {}
        self._asked: Pending[dict[str, int]] | None = None
        self._look_at = 0.0
        self._deserted = False
        self._culprits = Culprits()
        self._withheld: list[Done] = []
        self._news: list[Message] = []
        self._stopping = False
        self._alone_since: float | None = None
        self._lost = False
        settings.workers = 0

    # -- what a campaign asks

    @property
    def idle(self) -> int:
        """How many orders could be given now."""
        if self._stopping or self._lost:
            return 0
        return max(0, _AHEAD * self._threads - len(self._errands) - len(self._homeless))

    @property
    def working(self) -> int:
        """How many threads have something to do, as far as can be told."""
        return min(len(self._errands), self._threads)

    @property
    def busy(self) -> bool:
        """Is there anything left to hear?"""
        work = self._errands or self._homeless or self._culprits.waiting
        return bool(self._news or (work and not self._lost))

    def give(self, order: Order) -> None:
        """Have an order carried out by somebody."""
        self._send(_Errand(order, encode(order)))

    def finish(self) -> None:
        """No further cases: finish what was begun."""
        self._stopping = True
        self._homeless.clear()
        if not self._lost:
            self._call(FINISH)

    def stop(self) -> Iterator[Message]:
        """Call everything off; what was said already is heard."""
        if not self._lost:
            for number, said, error in self._drain():
                if error is None:
                    yield from self._take(number, said, None)
            if self._errands or self._probes:
                called = self._call(STOP)
                with contextlib.suppress(TimeoutError, OSError, CancelledError):
                    called.result(2.0)
        self._stopping = self._lost = True
        with contextlib.suppress(TimeoutError, OSError, RuntimeError, CancelledError):
            self._client.close(timeout=2.0)

    def hear(self, seconds: float) -> Iterator[Message]:
        """What comes of orders and autopsies within ``seconds``, and what becomes of the cluster."""
        self._look_around()
        news, self._news = self._news, []
        yield from news
        if self._lost:
            return
        self._examine_next()
        try:
            first = self._heard.get(timeout=seconds)
        except Empty:
            return
        for said in (first, *self._drain()):
            yield from self._take(*said)

    # -- questions out, answers in

    @property
    def _threads(self) -> int:
        return sum(self._fit.values())

    def _drain(self) -> Iterator[tuple[int, bytes, BaseException | None]]:
        with contextlib.suppress(Empty):
            while True:
                yield self._heard.get_nowait()

    def _submit(self, question: bytes, workers: frozenset[str]) -> tuple[int, Any]:
        """A task, bound to some workers or to none; its number and future."""
        self._number += 1
        bound = {"workers": sorted(workers), "allow_other_workers": False} if workers else {}
        future = self._client.submit(
            serve, self._terms, question, key=f"{self._name}-{self._number}", pure=False, **bound
        )
        future.add_done_callback(partial(self._fetch, self._number))
        return self._number, future

    def _fetch(self, number: int, future: Any) -> None:
        """Called in a thread of Dask's when a task is done."""
        try:
            self._heard.put((number, future.result(timeout=_FETCH), None))
        except BaseException as error:  # whatever a task raises is heard of, not raised
            self._heard.put((number, b"", error))

    def _send(self, errand: _Errand) -> None:
        strangers = self._present.keys() - self._fit.keys()
        errand.workers = frozenset(self._fit) if strangers else frozenset()
        if self._client.status != "running" or not self._fit:
            self._homeless.append(errand)
            return
        number, errand.future = self._submit(errand.question, errand.workers)
        self._errands[number] = errand

    def _take(self, number: int, said: bytes, error: BaseException | None) -> Iterator[Message]:
        if number in self._probes:
            self._judge(number, said, error)
            return
        errand = self._errands.pop(number, None)
        if errand is None:
            return  # asked again meanwhile
        messages: list[Message] = []
        try:
            messages = [decode(line) for line in said.split(b"\n") if line]
        except msgspec.DecodeError as nonsense:
            error = nonsense
        if error is not None:
            yield from self._again(errand, error)
        elif any(isinstance(message, Unfit) for message in messages):
            for message in messages:
                if isinstance(message, Unfit):
                    self._refuse(message.worker, message.text)
            self._count()
            self._retry(errand)
        else:
            for message in messages:
                yield from self._pass_on(errand.order, message)
            yield from self._release()

    def _again(self, errand: _Errand, error: BaseException) -> Iterator[Message]:
        """A question came to nothing, through no fault of its own as far as is known."""
        if not isinstance(error, CancelledError):
            errand.lost += 1
        if errand.lost >= _ATTEMPTS:
            what = f"slice {errand.order.slice}"
            yield Broken(what, f"lost {errand.lost} times, the last: {_line_of(error)}")
            return
        self._retry(errand)

    def _retry(self, errand: _Errand) -> None:
        if not self._stopping:
            self._homeless.append(errand)

    def _pass_on(self, order: Order, message: Message) -> Iterator[Message]:
        if isinstance(message, Found):
            yield self._keep(message)
        elif isinstance(message, Died) and message.how:
            yield Died(
                self._culprits.blame(order, message.index, message.how, busy=self._examining)
            )
        elif isinstance(message, Done):
            self._withheld.append(message)
        else:
            yield message

    def _release(self) -> Iterator[Message]:
        """Say of those slices that they are done of which nothing more can come."""
        examined = {order.slice for order, _ in self._culprits.waiting}
        examined |= {errand.order.slice for errand in self._out() if errand.autopsy}
        ready = [done for done in self._withheld if done.slice not in examined]
        self._withheld = [done for done in self._withheld if done.slice in examined]
        yield from ready

    def _keep(self, found: Found) -> Message:
        """Put a finding into this campaign's corpus, which knows whether it is new."""
        try:
            entry = foreign_entry(found.text, "an entry from the cluster")
        except EntryError as error:
            return Broken("cluster", str(error))
        try:
            path, verdict = self._store.save(entry, found.text)
        except OSError as error:
            return Broken("corpus", f"{self._store.root}: {error.strerror}", full=True)
        return msgspec.structs.replace(
            found, path=str(path), check=entry.check, kind=entry.kind, isa=entry.case.isa,
            signature=entry.signature, verdict="new" if verdict == "new" else "known",
        )  # fmt: skip

    def _out(self) -> Iterator[_Errand]:
        yield from self._errands.values()
        yield from self._homeless

    @property
    def _examining(self) -> bool:
        return any(errand.autopsy for errand in self._out())

    def _examine_next(self) -> None:
        """One autopsy at a time, as on one machine."""
        if self._culprits.waiting and not self._examining and not self._lost:
            order, index = self._culprits.waiting.pop(0)
            self._send(_Errand(order, encode(Examine(order, index)), autopsy=True))

    # -- who is there

    def _call(self, what: str) -> Pending[Any]:
        return self._ask(self._client.scheduler.event_set(name=f"{self._name}-{what}"))

    def _ask(self, question: Coroutine[Any, Any, Any]) -> Pending[Any]:
        """Ask the scheduler without waiting for it."""
        return asyncio.run_coroutine_threadsafe(question, self._client.loop.asyncio_loop)

    def _look_around(self) -> None:
        """Is the scheduler there, and who is with it?"""
        now = time.monotonic()
        if self._lost or self._is_lost(now):
            return
        if self._client.status != "running":
            return
        homeless, self._homeless = self._homeless, []
        for errand in homeless:
            self._send(errand)
        if self._asked is not None and self._asked.done():
            asked, self._asked = self._asked, None
            with contextlib.suppress(Exception):  # the scheduler left: noticed by its status
                self._meet(dict(asked.result()))
        if self._asked is None and now >= self._look_at:
            self._look_at = now + _LOOK_EVERY
            self._asked = self._ask(self._client.scheduler.ncores())

    def _is_lost(self, now: float) -> bool:
        status = self._client.status
        if status == "running":
            self._alone_since = None
            return False
        self._asked = None
        self._alone_since = self._alone_since or now
        if status in ("closing", "closed") or now > self._alone_since + _PATIENCE:
            self._lost = True
            self._errands.clear()
            self._homeless.clear()
            address = self._client.scheduler.address if self._client.scheduler else "the cluster"
            self._news.append(Lost(f"the scheduler at {address} is lost", "start one"))
        return self._lost

    def _meet(self, present: dict[str, int]) -> None:
        """Note who has come and who has gone."""
        self._present = present
        for address in [address for address in self._fit if address not in present]:
            del self._fit[address]
            self._news.append(Died(f"worker {address} of the cluster went away"))
        for address in [address for address in self._unfit if address not in present]:
            del self._unfit[address]
        for number, (address, future) in list(self._probes.items()):
            if address not in present:
                del self._probes[number]
                future.release()
        probed = {address for address, _ in self._probes.values()}
        for address in present.keys() - self._fit.keys() - self._unfit.keys() - probed:
            self._greet(address)
        for number, errand in list(self._errands.items()):
            if errand.workers and not errand.workers & present.keys():
                del self._errands[number]
                errand.future.release()
                self._retry(errand)
        self._count()

    def _greet(self, address: str) -> None:
        """Have a worker show that it is fit."""
        try:
            check_address(address)
        except ClusterError:
            why = (
                "it is reached over plain tcp://; start it with TLS, or on the scheduler's machine"
            )
            self._refuse(address, why)
            return
        number, future = self._submit(b"", frozenset((address,)))
        self._probes[number] = (address, future)

    def _judge(self, number: int, said: bytes, error: BaseException | None) -> None:
        address, _ = self._probes.pop(number)
        if isinstance(error, CancelledError):
            return  # the connection broke: it will be greeted again
        if error is not None:
            self._refuse(address, _line_of(error))
        elif said:
            message = decode(said)
            self._refuse(
                address, message.text if isinstance(message, Unfit) else "it talks nonsense"
            )
        elif address in self._present:
            self._fit[address] = self._present[address]
        self._count()

    def _refuse(self, address: str, why: str) -> None:
        self._fit.pop(address, None)
        if address not in self._unfit:
            self._unfit[address] = why
            self._news.append(
                Died(f"worker {address} of the cluster gets no work: {why}", worker=False)
            )

    def _count(self) -> None:
        self.settings.workers = self._threads
        deserted = not self._fit and not self._probes
        if deserted and not self._deserted:
            text = "the cluster has no worker for this campaign now; it goes on when one comes"
            self._news.append(Died(text, worker=False))
        self._deserted = deserted


def _line_of(error: BaseException) -> str:
    text = str(error).strip().partition("\n")[0]
    if isinstance(error, ModuleNotFoundError):
        return f"{text}: pip install 'clifhanger[cluster]' there"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
