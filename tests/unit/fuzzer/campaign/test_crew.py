"""A crew: orders are carried out whoever dies of them, deaths are named, nothing is left behind or lost."""

from __future__ import annotations

import errno
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import pytest

from fuzzer.campaign import autopsy
from fuzzer.campaign.crew import Crew
from fuzzer.campaign.messages import Broken, Died, Done, Found, Message, Order, Tried
from fuzzer.campaign.orphans import children
from fuzzer.campaign.settings import Settings
from fuzzer.campaign.worker import BAD_STATE
from fuzzer.corpus.entry import load_entry
from fuzzer.targets import TARGETS, Row

ISA = "aarch64"
Hire = Callable[..., Crew]


@pytest.fixture
def hire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hire]:
    """Crews whose compiler is a class of :mod:`misbehaving`; ended with the test, and nothing is left of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(autopsy, "_CALLS", {"crash": (8, 12), "hang": (4, 4)})
    before = children()
    crews: list[Crew] = []

    def hired(target: str, workers: int = 1, *, timeout: float = 30.0) -> Crew:
        row = Row("tests.unit.fuzzer.campaign.misbehaving", target, "")
        monkeypatch.setitem(TARGETS, "bad", row)
        settings = Settings("bad", (ISA,), 1, None, None, workers, tmp_path / "corpus", tmp_path,
                            timeout=timeout)  # fmt: skip
        crews.append(Crew(settings, workers))
        return crews[-1]

    yield hired
    for crew in crews:
        list(crew.stop())
    assert children() <= before


def follow(crew: Crew, seconds: float = 60.0) -> Iterator[Message]:
    """All that comes of the orders given."""
    end = time.monotonic() + seconds
    while crew.busy:
        assert time.monotonic() < end
        yield from crew.hear(0.1)


_M = TypeVar("_M")


def of(kind: type[_M], messages: list[Message]) -> list[_M]:
    return [message for message in messages if isinstance(message, kind)]


def worker_of(crew: Crew) -> int:
    (hand,) = crew._hands
    return int(hand.process.pid)


def at_work(crew: Crew, index: int = 0) -> None:
    """Wait until a worker is at case ``index`` or beyond."""
    (hand,) = crew._hands
    while not hand.in_flight.read()[0] or hand.in_flight.read()[2] < index:
        time.sleep(0.005)


def test_one_that_was_killed_leaves_nothing_undone(hire: Hire) -> None:
    undisturbed = hire("Slow")
    undisturbed.give(Order(0, 0, 16))
    (expected,) = of(Tried, list(follow(undisturbed)))
    crew = hire("Slow")
    crew.give(Order(0, 0, 16))
    for index in (2, 5, 7):
        at_work(crew, index)
        os.kill(worker_of(crew), signal.SIGKILL)
        list(crew.hear(1.0))
    messages = list(follow(crew))
    assert of(Tried, messages) == [expected]
    assert of(Done, messages) == [Done(0)]


def test_a_case_at_which_four_are_killed_is_the_culprit(hire: Hire) -> None:
    crew = hire("Drags")
    crew.give(Order(0, 0, 1))
    said: list[Message] = []
    for _ in range(4):
        at_work(crew)
        os.kill(worker_of(crew), signal.SIGKILL)
        while not of(Died, heard := list(crew.hear(1.0))):
            said += heard
        said += heard
    said += follow(crew)
    texts = [died.text for died in of(Died, said)]
    assert texts == [*["a worker died (SIGKILL) at case 0/0, which is tried again"] * 2, "",
                     "a worker died (SIGKILL) at case 0/0", "case 0/0 by itself lives"]  # fmt: skip
    assert [tried.functions for tried in of(Tried, said)] == [1]


def test_a_slice_is_done_when_nothing_more_comes_of_it(hire: Hire) -> None:
    """Else what its autopsies are about to find would be lost with a campaign that is killed."""
    crew = hire("Exits")
    examine, crew._examine_next = crew._examine_next, lambda: None  # type: ignore[method-assign]  # nobody has time
    crew.give(Order(0, 0, 12))
    said: list[Message] = []
    while not of(Tried, said) or crew.working:
        said += crew.hear(0.1)
    assert not of(Done, said)
    assert crew.busy
    crew._examine_next = examine  # type: ignore[method-assign]  # now somebody has
    said += follow(crew)
    kinds = [type(message) for message in said]
    assert kinds.index(Found) < kinds.index(Done)
    assert kinds.count(Done) == 1


def test_a_finding_whose_shrinking_kills_is_kept_as_it_is(hire: Hire) -> None:
    crew = hire("Worsens")
    crew.give(Order(0, 0, 12))
    said = list(follow(crew))
    kept = [found for found in of(Found, said) if found.check == "crash" and "v7" in found.detail]
    assert kept
    for found in kept:
        assert found.verdict in ("new", "known")
        assert load_entry(Path(found.path)).signature == found.signature
    assert kept[0].verdict == "new"
    assert kept[0].before == kept[0].after
    assert any("exit status 9" in died.text for died in of(Died, said))
    assert of(Done, said) == [Done(0)]


def test_a_draft_is_on_no_disk_until_its_finder_is_gone(hire: Hire, tmp_path: Path) -> None:
    """So what a corpus holds in the end does not depend on who was killed when."""
    crew = hire("Raises")
    crew.give(Order(0, 0, 32))
    (hand,) = crew._hands
    while not hand.draft:
        assert hand.pipe.poll(20)
        list(crew._hear(hand))
    assert not list(tmp_path.rglob("*.clif"))
    hand.process.kill()
    assert {found.verdict for found in of(Found, list(follow(crew)))} == {"new"}
    (path,) = tmp_path.rglob("*.clif")
    assert load_entry(path).case.function.instruction_count() <= 3


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("Orphans", "SIGSEGV while compiling"),
        ("Realtime", "signal 35 while compiling"),
    ],
)
def test_the_death_is_named_at_once(hire: Hire, tmp_path: Path, target: str, words: str) -> None:
    """Though an orphan holds every pipe open, and though the timeout is far away."""
    started = time.monotonic()
    crew = hire(target, timeout=120.0)
    crew.give(Order(0, 0, 12))
    said = list(follow(crew))
    assert time.monotonic() - started < 60
    assert words in {found.detail for found in of(Found, said)}
    assert not of(Broken, said)
    if target == "Orphans":
        pids = [int(line) for line in (tmp_path / "orphans").read_text().split()]
        assert len(pids) > 3
        assert not [pid for pid in pids if _lives(pid)]


def _lives(pid: int) -> bool:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_no_dead_orphan_is_left_unburied(hire: Hire, monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    monkeypatch.setattr("fuzzer.campaign.crew._REAP_EVERY", 0.0)
    crew = hire("Daemons")
    crew.give(Order(0, 0, 32))
    said = list(follow(crew))
    assert [tried.functions for tried in of(Tried, said)] == [32]
    list(crew.hear(0.1))
    assert children() - before == {worker_of(crew)}


def test_nonsense_is_a_death(hire: Hire) -> None:
    crew = hire("Scribbles")
    crew.give(Order(0, 0, 12))
    said = list(follow(crew))
    assert "a worker died (it talks nonsense)" in " ".join(died.text for died in of(Died, said))
    assert sum(tried.functions for tried in of(Tried, said)) == 12
    assert of(Done, said) == [Done(0)]


def test_what_was_said_before_the_end_is_heard(hire: Hire) -> None:
    """Stopped at any moment: every entry on disk was told."""
    crew = hire("Raises")
    crew.give(Order(0, 0, 32))
    at_work(crew)
    time.sleep(1.0)  # nobody listens
    told = [Path(found.path) for found in of(Found, list(crew.stop()))]
    assert sorted(set(told)) == sorted(Path(crew.settings.corpus).rglob("*.clif"))


def test_one_that_comes_late_leaves_counted_cases_to_be_done_again(hire: Hire) -> None:
    """Its findings are still wanted: an order that is counted but was not tried again is not complete."""
    crew = hire("Raises")
    crew.finish()
    crew.give(Order(0, 0, 32, counted=True))
    assert of(Done, list(follow(crew))) == [Done(0, complete=False)]


def test_nobody_counts_a_culprit_twice(hire: Hire) -> None:
    """An order that ends before its culprit has not counted it: whoever goes on will."""
    crew = hire("Slow")
    crew.finish()
    crew.give(Order(0, 0, 32, skip=[3, 9]))
    (tried,) = of(Tried, list(follow(crew)))
    assert (tried.stop, tried.functions) == (0, 0)


@pytest.mark.parametrize("trouble", ["ENOSPC", "EDQUOT", "EIO"])
def test_a_disk_that_takes_no_entry_is_said_in_one_line(
    hire: Hire, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    def refuse(*args: object, **rest: object) -> None:
        raise OSError(getattr(errno, trouble), os.strerror(getattr(errno, trouble)))

    monkeypatch.setattr("fuzzer.corpus.store.write_durably", refuse)
    crew = hire("Raises")
    crew.give(Order(0, 0, 32))
    said = []
    while not of(Broken, said):
        said += crew.hear(0.1)
    first = of(Broken, said)[0]
    assert first.full
    assert first.traceback == f"{crew.settings.corpus}: {os.strerror(getattr(errno, trouble))}"
    assert not of(Died, said)


def test_workers_end_with_their_parent_though_no_kernel_kills_them(
    hire: Hire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fuzzer.campaign.worker.die_with_parent", lambda parent: None)
    read_end, write_end = os.pipe()
    child = os.fork()
    if not child:
        crew = hire("Slow", 3)
        os.write(write_end, " ".join(str(hand.process.pid) for hand in crew._hands).encode())
        os._exit(0)
    pids = [int(word) for word in os.read(read_end, 1000).split()]
    os.close(read_end)
    os.close(write_end)
    os.waitpid(child, 0)
    assert len(pids) == 3
    end = time.monotonic() + 20
    while any(map(_lives, pids)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not [pid for pid in pids if _lives(pid)]


def test_an_emulator_in_a_bad_state_is_replaced_and_blames_nobody(hire: Hire) -> None:
    crew = hire("Weary")
    crew.give(Order(0, 0, 24))
    messages = list(follow(crew))
    (tried,) = of(Tried, messages)
    assert tried.unsupported == {BAD_STATE: 1}
    assert tried.functions == 24
    assert of(Found, messages) == []
