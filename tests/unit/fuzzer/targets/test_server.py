"""A server of one process: its answers are those of the questions, and whatever it does is told apart."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fuzzer.campaign.orphans import Orphans, children
from fuzzer.targets.server import Server
from fuzzer.targets.target import ProtocolError, TargetDied, TargetHung, TargetUnavailable

HOSTILE = [sys.executable, "-S", "-E", str(Path(__file__).with_name("hostile.py"))]
GOOD, BAD = "compile\nisa x86_64\n\niadd", "compile\nisa x86_64\n\nimul"
REFUSAL = "unsupported\nnothing to do\n"
Serve = Callable[..., Server]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Servers of :mod:`hostile`, of which nothing is left when the test ends."""
    before = children()
    adopted = Orphans()
    servers: list[Server] = []

    def served(mode: str, *, seconds: float = 5.0, **more: int) -> Server:
        servers.append(Server([*HOSTILE, mode], seconds=seconds, **more))  # type: ignore[arg-type]  # of any type
        return servers[-1]

    yield served
    for server in servers:
        server.stop()
    adopted.end(())
    adopted.release()
    assert children() <= before


DEATHS = {
    "segfault": "SIGSEGV",
    "orphans": "SIGSEGV",
    "silent": "exit 0",
    "half": "exit 0",
    "abort": "SIGABRT hostile: lower.c:#: lower: Assertion `reg < #' failed at #.",
    "exits": "exit 101 thread 'main' panicked at src/lower.rs:#:#: index # out of bounds",
    "hoard": "out of memory",
}


@pytest.mark.parametrize(("mode", "key"), DEATHS.items())
def test_a_death_is_named_and_the_next_question_is_answered(
    serve: Serve, mode: str, key: str
) -> None:
    server = serve(mode, memory=1 << 29)
    for _ in range(2):
        assert server.ask(GOOD) == REFUSAL
        with pytest.raises(TargetDied) as died:
            server.ask(BAD)
        assert died.value.key == key
        assert str(died.value).startswith(f"{died.value.how} while compiling")
    assert died.value.vague == (key in ("SIGSEGV", "exit 0"))


@pytest.mark.parametrize("mode", ["undecodable", "twice", "twice_later", "huge", "closes"])
def test_what_is_no_answer_is_told(serve: Serve, mode: str) -> None:
    server = serve(mode)
    assert server.ask(GOOD) == REFUSAL
    server.renew()
    with pytest.raises(ProtocolError) as error:
        server.ask(BAD)
    assert error.value.key
    assert server.ask(GOOD) == REFUSAL


@pytest.mark.parametrize("mode", ["loop", "deaf", "late"])
def test_no_answer_in_time_is_a_hang(serve: Serve, mode: str) -> None:
    server = serve(mode, seconds=0.4)
    started = time.monotonic()
    with pytest.raises(TargetHung):
        server.ask(BAD)
    assert time.monotonic() - started < 2
    assert server.ask(GOOD) == REFUSAL


@pytest.mark.parametrize(
    ("mode", "error"), [("twice_later", ProtocolError), ("dies_later", TargetDied)]
)
def test_what_comes_late_is_not_the_next_question_s(
    serve: Serve, mode: str, error: type[Exception]
) -> None:
    """And the one that it is of is found, since the next ones are watched."""
    server = serve(mode)
    assert server.ask(BAD) == REFUSAL
    time.sleep(0.1)
    assert server.ask(GOOD) == REFUSAL
    assert server.watched
    for _ in range(2):
        with pytest.raises(error):
            server.ask(BAD)
        assert server.ask(GOOD) == REFUSAL


def test_one_that_was_killed_from_outside_is_asked_again(serve: Serve) -> None:
    server = serve("loop", seconds=3.0)
    server.ask(GOOD)
    os.kill(server.process_ids()[0], 9)
    assert server.ask(GOOD) == REFUSAL


def test_each_question_its_own_process(serve: Serve) -> None:
    server = serve("dies_later", once=True)
    with pytest.raises(TargetDied, match="SIGABRT after its answer"):
        server.ask(BAD)
    assert server.ask(GOOD) == REFUSAL


def test_a_forked_child_has_a_process_of_its_own(serve: Serve) -> None:
    server = serve("segfault")
    server.ask(GOOD)
    (ours,) = server.process_ids()
    read, write = os.pipe()
    if not os.fork():
        server.ask(GOOD)
        os.write(write, str(server.process_ids()[0]).encode())
        server.stop()
        os._exit(0)
    os.wait()
    assert int(os.read(read, 20)) != ours
    os.close(read)
    os.close(write)
    assert server.process_ids() == [ours]
    assert server.ask(GOOD) == REFUSAL


def test_without_a_compiler_there_is_no_target() -> None:
    with pytest.raises(TargetUnavailable, match="/nowhere/cc: No such file"):
        Server(["/nowhere/cc"], seconds=1).ask(GOOD)
    with pytest.raises(TargetUnavailable, match="ends before it has read a question: oh no"):
        Server(["sh", "-c", "echo oh no >&2; exit 3"], seconds=5).ask(GOOD)


def test_a_large_question_does_not_wait_for_one_that_does_not_read() -> None:
    server = Server(["sleep", "60"], seconds=0.3)
    with pytest.raises(TargetHung):
        server.ask("x" * 1_000_000)
    server.stop()


def test_the_memory_of_who_asks_is_not_the_compilers() -> None:
    """What is started has the peak of who starts it in its own ``ru_maxrss``."""
    lines = (
        "from fuzzer.targets.server import Server",
        "from fuzzer.targets.target import TargetDied",
        "ballast = bytearray(400 << 20)",
        f"server = Server({[*HOSTILE, 'segfault']!r}, seconds=5.0, memory=1 << 29)",
        "try:",
        f"    server.ask({BAD!r})",
        "except TargetDied as died:",
        "    print(died.key)",
    )
    told = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, timeout=60
    )
    assert (told.stdout, told.stderr) == ("SIGSEGV\n", "")


def test_it_does_not_outlive_who_asks(tmp_path: Path) -> None:
    """Not even one that is busy, and so would never notice that nobody listens any more."""
    found = tmp_path / "pid"
    busy = f"import os; open({str(found)!r}, 'w').write(str(os.getpid()) + '.')\nwhile True: pass"
    asking = (
        "import sys\nfrom fuzzer.targets.server import Server\n"
        "Server([sys.executable, '-c', sys.argv[1]], seconds=60.0).ask('')"
    )
    with subprocess.Popen([sys.executable, "-c", asking, busy]) as process:
        end = time.monotonic() + 20
        while not (found.exists() and found.read_text().endswith(".")):
            assert time.monotonic() < end
            time.sleep(0.02)
        process.kill()
    left = Path("/proc", found.read_text()[:-1], "cmdline")
    while left.exists() and left.read_bytes():
        assert time.monotonic() < end
        time.sleep(0.02)
