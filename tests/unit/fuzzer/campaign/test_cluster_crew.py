"""What a campaign makes of answers that no sound cluster would give."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from fuzzer.campaign.cluster import _ATTEMPTS, ClusterCrew
from fuzzer.campaign.messages import (
    Broken,
    Died,
    Done,
    Found,
    Lost,
    Message,
    Order,
    Unfit,
    encode,
)
from fuzzer.campaign.settings import Settings
from fuzzer.corpus.entry import print_entry
from fuzzer.reference.evaluate import outcomes_of
from tests.unit.fuzzer.campaign.test_sync import A, entry, sizes

Answer = Callable[[bytes, list[str]], bytes]
ORDER = Order(3, 0, 32)
DONE = encode(Done(3))


class FakeClient:
    """A cluster of ``workers`` (address: threads) where ``answer`` (question, workers allowed) is what serves."""

    def __init__(self, workers: dict[str, int], answer: Answer) -> None:
        self.workers = workers
        self.answer = answer
        self.status = "running"
        self.asked: list[list[str]] = []
        self.loop = SimpleNamespace(asyncio_loop=asyncio.new_event_loop())
        self.thread = threading.Thread(target=self.loop.asyncio_loop.run_forever, daemon=True)
        self.thread.start()
        self.scheduler = SimpleNamespace(address="fake", ncores=self._ncores, event_set=self._event)

    async def _ncores(self) -> dict[str, int]:
        return dict(self.workers)

    async def _event(self, name: str) -> None: ...

    def submit(self, task: object, terms: bytes, question: bytes, **options: Any) -> Any:
        if question:
            self.asked.append(options.get("workers", []))

        def result(timeout: float) -> bytes:
            return self.answer(question, options.get("workers", [])) if question else b""

        future = SimpleNamespace(result=result, release=lambda: None)
        future.add_done_callback = lambda call: call(future)
        return future

    def close(self, timeout: float) -> None:
        self.loop.asyncio_loop.call_soon_threadsafe(self.loop.asyncio_loop.stop)
        self.thread.join(timeout)
        self.loop.asyncio_loop.close()


@pytest.fixture
def crew(tmp_path: Path) -> Iterator[Callable[..., ClusterCrew]]:
    made: list[ClusterCrew] = []

    def make(answer: Answer, workers: dict[str, int] | None = None) -> ClusterCrew:
        settings = Settings(
            "builtin", ("aarch64",), 1, None, None, 1, tmp_path / "corpus", tmp_path
        )
        client = FakeClient(workers or {"tcp://127.0.0.1:1": 1}, answer)
        made.append(ClusterCrew(client, settings))
        return made[-1]

    yield make
    for each in made:
        list(each.stop())


def carried_out(crew: ClusterCrew, order: Order = ORDER) -> list[Message]:
    """All that is heard until an order is carried out."""
    heard: list[Message] = []
    for _ in range(100):
        heard += crew.hear(0.05)
        if crew.idle and crew._fit:
            break
    crew.give(order)
    for _ in range(100):
        heard += crew.hear(0.05)
        if not crew.busy:
            return heard
    raise AssertionError(f"never done: {heard}")


def found(text: str) -> bytes:
    return encode(Found("", "result", "mismatch", "aarch64", A, "", "", 9, 1, "new", "", text))


def test_a_finding_is_put_into_the_campaign_s_own_corpus(
    tmp_path: Path, crew: Callable[..., ClusterCrew]
) -> None:
    made = entry(A, 2)
    said = found(print_entry(made, outcomes_of(made.case))) + b"\n" + DONE
    one = crew(lambda *_: said)
    first, done = carried_out(one)
    assert isinstance(first, Found)
    assert first.verdict == "new"
    assert Path(first.path).is_relative_to(tmp_path / "corpus")
    assert done == Done(3)
    assert sizes(tmp_path / "corpus") == {A: 2}
    again, _ = carried_out(one)
    assert isinstance(again, Found)
    assert again.verdict == "known"


@pytest.mark.parametrize("word", ["../../elsewhere", "a/b", ""])
def test_a_finding_that_leads_elsewhere_is_refused(
    tmp_path: Path, crew: Callable[..., ClusterCrew], word: str
) -> None:
    made = entry(A)
    text = print_entry(made, outcomes_of(made.case)).replace('"builtin"', f'"{word}"')
    broken, _ = carried_out(crew(lambda *_: found(text) + b"\n" + DONE))
    assert isinstance(broken, Broken)
    assert "is no name of target" in broken.traceback
    assert not (tmp_path / "corpus").exists()


@pytest.mark.parametrize("failure", ["raises", "nonsense"])
def test_an_order_that_is_always_lost_ends_it(
    crew: Callable[..., ClusterCrew], failure: str
) -> None:
    def answer(*_: object) -> bytes:
        if failure == "raises":
            raise LookupError("gone")
        return b"[1"

    one = crew(answer)
    (broken,) = carried_out(one)
    assert isinstance(broken, Broken)
    assert f"lost {_ATTEMPTS} times" in broken.traceback
    assert len(one._client.asked) == _ATTEMPTS


def test_a_broken_connection_is_no_fault_of_the_order(crew: Callable[..., ClusterCrew]) -> None:
    calls: list[int] = []

    def answer(*_: object) -> bytes:
        calls.append(1)
        if len(calls) < 3 * _ATTEMPTS:
            raise CancelledError
        return DONE

    assert carried_out(crew(answer)) == [Done(3)]


def test_who_is_unfit_gets_no_more(crew: Callable[..., ClusterCrew]) -> None:
    good, bad = "tcp://127.0.0.1:1", "tcp://127.0.0.1:2"

    def answer(_: bytes, allowed: list[str]) -> bytes:
        return DONE if allowed == [good] else encode(Unfit("old", bad))

    one = crew(answer, {good: 1, bad: 1})
    heard = carried_out(one)
    assert heard[-1] == Done(3)
    assert [m for m in heard if isinstance(m, Died)] == [
        Died(f"worker {bad} of the cluster gets no work: old", worker=False)
    ]
    assert one.settings.workers == 1


def test_workers_over_plain_tcp_get_nothing(crew: Callable[..., ClusterCrew]) -> None:
    far = "tcp://10.0.0.1:1"
    one = crew(lambda *_: DONE, {far: 4, "tcp://127.0.0.1:1": 1})
    heard = carried_out(one)
    assert any(isinstance(m, Died) and far in m.text and "plain tcp://" in m.text for m in heard)
    assert all(far not in allowed and allowed for allowed in one._client.asked)


def test_a_lost_scheduler_is_said_once(crew: Callable[..., ClusterCrew]) -> None:
    one = crew(lambda *_: DONE)
    assert carried_out(one) == [Done(3)]
    one._client.status = "closed"
    (lost,) = one.hear(0.05)
    assert isinstance(lost, Lost)
    assert list(one.hear(0.05)) == []
    assert (one.idle, one.busy) == (0, False)
    one.finish()


def test_terms_leave_no_path_behind(crew: Callable[..., ClusterCrew], tmp_path: Path) -> None:
    terms = msgspec.json.decode(crew(lambda *_: DONE)._terms)
    assert str(tmp_path) not in str(terms)
