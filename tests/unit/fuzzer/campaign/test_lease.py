"""A lease answers the same whoever it is and whatever was asked before, and leaves nothing behind."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from fuzzer.campaign import lessee
from fuzzer.campaign.lease import terms_of
from fuzzer.campaign.lessee import FINISH, STOP, Lease, answer
from fuzzer.campaign.messages import (
    Died,
    Done,
    Examine,
    Found,
    Message,
    Order,
    Tried,
    Unfit,
    decode,
    encode,
)
from fuzzer.campaign.settings import Settings
from fuzzer.corpus.entry import parse_entry
from fuzzer.targets import TARGETS, Row

HERE = Path(__file__).parent


def terms(target: str = "builtin", plants: tuple[str, ...] = (), **more: object) -> bytes:
    made = Settings(target, ("aarch64",), 1, None, None, 1, Path("-"), Path("-"), plants=plants)
    return msgspec.json.encode(msgspec.structs.replace(terms_of(made, "campaign"), **more))


@pytest.fixture(autouse=True)
def _no_lease_stays() -> Iterator[None]:
    yield
    while lessee._idle:
        lessee._idle.pop().end()


def bad(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(TARGETS, "bad", Row("tests.unit.fuzzer.campaign.misbehaving", name, ""))
    monkeypatch.setattr(lessee, "PROGRAM", [sys.executable, str(HERE / "leasing.py"), name])
    monkeypatch.setenv("PYTHONPATH", str(HERE.parents[3]))


def messages(said: bytes) -> list[Message]:
    return [decode(line) for line in said.split(b"\n")]


def session_of(pid: int) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[3]) == pid and fields[0] != "Z":
                found.append(int(path.parent.name))
    return found


def gone(pid: int, seconds: float = 5.0) -> bool:
    end = time.monotonic() + seconds
    while session_of(pid) and time.monotonic() < end:
        time.sleep(0.05)
    return not session_of(pid)


def test_the_answer_depends_on_the_question_alone() -> None:
    ours = terms(plants=("shifted-immediate-lost",))
    questions = [encode(Order(number, 0, 32)) for number in range(3)]
    one, other = Lease(ours), Lease(ours)
    try:
        said = [messages(one.ask(question)) for question in questions]
        again = [messages(other.ask(question)) for question in reversed(questions)]
    finally:
        one.end()
        other.end()
    assert said == again[::-1]
    found = [message for all_of_it in said for message in all_of_it if isinstance(message, Found)]
    assert found
    for message in found:
        assert message.path == ""
        assert parse_entry(message.text).signature == message.signature


def test_deaths_are_told_and_examined_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    bad(monkeypatch, "Segfault")
    ours = terms("bad")
    order = Order(0, 0, 12)
    *died, tried, done = messages(answer(ours, encode(order)))
    assert died
    assert all(isinstance(m, Died) and m.how == "SIGSEGV" and m.text == "" for m in died)
    assert isinstance(tried, Tried)
    assert tried.functions == 12
    assert done == Done(0)
    first = died[0]
    assert isinstance(first, Died)
    (found,) = messages(answer(ours, encode(Examine(order, first.index))))
    assert isinstance(found, Found)
    assert (found.check, found.verdict) == ("crash", "new")
    lived = next(i for i in range(12) if i not in {m.index for m in died if isinstance(m, Died)})
    (lives,) = messages(answer(ours, encode(Examine(order, lived))))
    assert lives == Died(f"case 0/{lived} by itself lives", worker=False)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lease_that_dies_or_hangs_is_replaced(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    bad(monkeypatch, "Slow")
    monkeypatch.setattr(lessee, "_SILENCE", 2.0)
    ours = terms("bad")
    question = encode(Order(0, 0, 16))
    expected = messages(answer(ours, question))
    (first,) = lessee._idle
    pid = first.process.pid
    timer = threading.Timer(0.2, os.kill, (pid, number))
    timer.start()
    assert messages(answer(ours, question)) == expected
    timer.join()
    (second,) = lessee._idle
    assert second is not first
    assert gone(pid)


def test_a_campaign_that_calls_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    bad(monkeypatch, "Slow")
    ours = terms("bad")
    order = encode(Order(0, 0, 1000))
    said = answer(ours, order, lambda call: call == FINISH)
    tried, done = messages(said)
    assert isinstance(tried, Tried)
    assert 0 < tried.stop < 1000
    assert tried.functions == tried.stop
    assert isinstance(done, Done)
    assert answer(ours, order, lambda call: call == STOP) == b""
    assert lessee._idle == []


def test_who_runs_other_code_is_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TARGETS, "bad", TARGETS["builtin"])
    for ours, word in ((terms(code="0" * 16), "same version"), (terms("bad"), "no target 'bad'")):
        unfit = decode(answer(ours, b""))
        assert isinstance(unfit, Unfit)
        assert word in unfit.text
    assert lessee._idle == []


def test_nobody_is_left_when_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    bad(monkeypatch, "Slow")
    idle, deserted = Lease(terms("bad")), Lease(terms("bad"))
    assert len(session_of(idle.process.pid)) == 2
    assert deserted.process.stdin is not None
    deserted.process.stdin.write(encode(Order(0, 0, 10_000)) + b"\n")
    deserted.process.stdin.close()
    assert deserted.process.wait(5) == 0
    assert gone(deserted.process.pid)
    assert idle.process.wait(5) == 0
    assert gone(idle.process.pid)
    idle.end()
