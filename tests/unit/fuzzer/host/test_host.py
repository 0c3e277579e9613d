"""A host dies instead of who asks, is replaced, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fuzzer.host.client import Host, HostError
from fuzzer.host.server import _packed_outcome as packed
from fuzzer.outcome import Returned
from fuzzer.targets import TARGETS, Row
from fuzzer.testing import _outcome as unpacked

MULTIPLY = "function %f(i64) -> i64 {\nblock0(v0: i64):\n    v1 = imul v0, v0\n    return v1\n}"
ADD = MULTIPLY.replace("imul", "iadd")


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    monkeypatch.syspath_prepend(Path(__file__).parent)
    for name in ("Kills", "KillsParent", "Hangs", "Prints"):
        snake = "kills_parent" if name == "KillsParent" else name.lower()
        monkeypatch.setitem(TARGETS, snake, Row("rogues", name, "for tests"))
    made = Host()
    yield made
    made.close()


def ask(host: Host, target: str, function: str = MULTIPLY, seconds: float = 20.0) -> dict[str, Any]:
    request: dict[str, Any] = {
        "ask": "trial", "target": target, "isa": "aarch64", "functions": function, "only": None,
        "inputs": [["0x3"]], "memory": "", "options": {}, "thorough": False,
    }  # fmt: skip
    return host.ask(request, seconds)


def process(host: Host) -> int:
    assert host._process is not None
    return host._process.pid


@pytest.mark.parametrize(
    "outcome",
    [
        Returned((5, 1 << 100), b"\1\2"),
        Returned((0x7FC0_0000, 1), b"\0", (0x803F_FFFF, 0), b"\7"),
        Returned((), b"\0", (), b"\x80"),
    ],
)
def test_an_outcome_arrives_with_its_open_bits(outcome: Returned) -> None:
    assert unpacked(*packed(outcome)) == outcome


def test_a_right_compiler(host: Host) -> None:
    assert ask(host, "builtin") == {
        "unsupported": "", "violations": [], "outcomes": [["returned", ["0x9"], "", [], "", []]],
    }  # fmt: skip


def test_the_host_dies_and_the_next_one_says_of_what(host: Host) -> None:
    ask(host, "kills", ADD)
    first = process(host)
    (violation,) = ask(host, "kills")["violations"]
    assert violation[:3] == ["crash", "SIGSEGV while compiling", "SIGSEGV compiling"]
    second = process(host)
    assert second != first
    # While the same is likely to come again, a child dies of it and not the host.
    for _ in range(5):
        assert ask(host, "kills")["violations"] == [violation]
    assert process(host) == second
    assert ask(host, "kills", ADD)["violations"] == []


def test_a_compiler_that_hangs(host: Host) -> None:
    ask(host, "hangs", ADD)
    before = time.monotonic()
    (violation,) = ask(host, "hangs", seconds=1.0)["violations"]
    assert violation[:2] == ["hang", "timeout while compiling"]
    assert time.monotonic() - before < 15


def test_a_compiler_that_kills_the_host_from_its_child(host: Host) -> None:
    with pytest.raises(HostError, match=r"the process that tries cases ended \(SIGKILL\)"):
        ask(host, "kills_parent")
    assert ask(host, "builtin")["violations"] == []


def test_what_a_compiler_prints_is_no_answer(host: Host, capfd: pytest.CaptureFixture[str]) -> None:
    assert [ask(host, "prints")["outcomes"] for _ in range(3)] == [
        [["returned", ["0x9"], "", [], "", []]]
    ] * 3
    assert capfd.readouterr() == ("", "")


def test_a_host_killed_between_two_questions_is_not_noticed(host: Host) -> None:
    ask(host, "builtin")
    os.kill(process(host), signal.SIGKILL)
    assert ask(host, "builtin")["violations"] == []


def test_threads_take_turns(host: Host) -> None:
    answers: list[Any] = []
    threads = [
        threading.Thread(target=lambda: answers.append(ask(host, "builtin"))) for _ in range(8)
    ]
    ask(host, "builtin")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 8
    assert all(answer == answers[0] for answer in answers)


def test_a_fork_has_a_host_of_its_own(host: Host) -> None:
    ask(host, "builtin")
    mine = process(host)
    child = os.fork()
    if child == 0:
        right = ask(host, "builtin")["violations"] == [] and process(host) != mine
        host.close()
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert ask(host, "builtin")["violations"] == []
    assert process(host) == mine


def test_an_internal_error_has_its_traceback(host: Host) -> None:
    with pytest.raises(HostError, match=r"(?s)internal error of clifhanger's.*KeyError: 'weather'"):
        host.ask({"ask": "weather"})
    assert ask(host, "builtin")["violations"] == []


@pytest.mark.parametrize("end", ["os.kill(os.getpid(), 9)", "os._exit(1)", "sys.exit()", "1 / 0"])
def test_the_host_ends_with_who_asked(end: str) -> None:
    code = (
        "import os, sys\nfrom fuzzer.host.client import HOST\n"
        "HOST.ask({'ask': 'about', 'target': 'builtin'})\n"
        f"print(HOST._process.pid, flush=True)\n{end}"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    host = int(done.stdout)
    deadline = time.monotonic() + 5
    while Path(f"/proc/{host}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{host}").exists()
