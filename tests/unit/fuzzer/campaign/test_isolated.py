"""Isolation: however a child ends, its parent lives and can say how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.campaign.record import TRYING, InFlight

Stage = Callable[[str], None]


def isolated(
    work: Callable[[Stage], bytes], seconds: float = 10.0, memory: int = 8 << 30
) -> bytes | Death:
    return run_isolated(work, seconds=seconds, memory=memory)


def test_an_answer_comes_back_whole() -> None:
    data = os.urandom(300_000)
    assert isolated(lambda stage: data) == data
    assert isolated(lambda stage: b"") == b""


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGILL, signal.SIGKILL])
def test_a_signal_is_named_with_the_stage(number: signal.Signals) -> None:
    def work(stage: Stage) -> bytes:
        stage("compiling")
        os.kill(os.getpid(), number)
        return b"never"

    assert isolated(work) == Death(number.name, "compiling")


def test_an_exit_and_an_exception() -> None:
    def leave(stage: Stage) -> bytes:
        os._exit(3)

    def fail(stage: Stage) -> bytes:
        raise ValueError("no")

    assert isolated(leave) == Death("exit 3", "starting")
    assert isolated(fail) == Death("exit 70", "starting")


def test_a_child_that_hangs_and_ignores_signals_is_killed() -> None:
    def work(stage: Stage) -> bytes:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        stage("hanging")
        while True:
            time.sleep(1)

    before = time.monotonic()
    assert isolated(work, seconds=0.5) == Death("timeout", "hanging")
    assert time.monotonic() - before < 5


def test_runaway_memory_ends_the_child_only() -> None:
    def work(stage: Stage) -> bytes:
        hoard = []
        while True:
            hoard.append(bytearray(64 << 20))

    assert isinstance(isolated(work, memory=768 << 20), Death)


def test_no_grandchild_is_left_behind() -> None:
    marker = f"sleep 98.{os.getpid()}"

    def work(stage: Stage) -> bytes:
        subprocess.Popen(marker.split())
        os.kill(os.getpid(), signal.SIGKILL)
        return b""

    isolated(work)
    time.sleep(0.2)
    listing = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout
    assert marker not in listing


def test_what_is_in_flight_can_be_read_from_outside() -> None:
    record = InFlight()
    child = os.fork()
    if child == 0:
        record.write(TRYING, 7, 31)
        os.kill(os.getpid(), signal.SIGKILL)
        sys.exit()
    os.waitpid(child, 0)
    phase, slice_, index, since = record.read()
    assert (phase, slice_, index) == (TRYING, 7, 31)
    assert since <= time.monotonic()


def test_a_record_read_while_it_is_written_always_has_a_time() -> None:
    record = InFlight()
    record.write(TRYING, 0, 0)
    child = os.fork()
    if child == 0:
        for number in range(200_000):
            record.write(TRYING, number, number)
        os._exit(0)
    torn = sum(record.read()[3] == 0.0 for _ in range(200_000))
    os.waitpid(child, 0)
    assert torn == 0
