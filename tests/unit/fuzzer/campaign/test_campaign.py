"""Whatever a compiler does, the campaign ends, the finding is on disk, and nothing is left running."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import pytest

from fuzzer.corpus.entry import load_entry
from tests.unit.fuzzer.campaign.processes import Command, Done, run

#: (class of the compiler, options, check, words of the finding, largest reproducer)
FAULTS = [
    ("Raises", (), "crash", "LookupError: no register for v7", 3),
    ("Segfault", (), "crash", "SIGSEGV while compiling", 12),
    ("Loops", ("--timeout", "0.5s"), "hang", "timeout while compiling", 12),
    ("Hoards", ("--mem", "256m"), "crash", "MemoryError", 3),
    ("Endless", (), "hang", "after 200000 instructions", 3),
]


def fuzz(folder: Path, target: str, *args: str, functions: int = 40) -> Done:
    return run(
        folder, "fuzz", "--target", "bad", "-n", str(functions), "--seed", "1", "--out", "out",
        *args, target=target,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("target", "options", "check", "words", "limit"), FAULTS, ids=[row[0] for row in FAULTS]
)
def test_a_fault_is_found_shrunk_and_survived(
    tmp_path: Path, target: str, options: tuple[str, ...], check: str, words: str, limit: int
) -> None:
    done = fuzz(tmp_path, target, "--stop-on-first", *options)
    assert done.status == 1
    stats = done.stats()
    (finding, *more) = stats["entries"]
    assert finding["check"] == check
    assert words in finding["detail"]
    assert stats["errors"] == []
    entry = load_entry(tmp_path / finding["path"])
    function = entry.case.function
    assert function.instruction_count() <= limit
    assert "imul" in {inst.op.name for inst in function.instructions()}
    assert (entry.check, entry.kind, entry.target) == (check, check, "bad")
    assert re.search(rf"^FOUND {check} aarch64 {finding['signature']} ", done.out, re.MULTILINE)
    assert len(done.entries()) == 1 + len(more)
    if target == "Segfault":
        again = run(tmp_path, "replay", "corpus", target=target)
        assert (again.status, again.out.split("  ")[0]) == (1, "still failing")
        fixed = run(tmp_path, "replay", "corpus", target="Slow")
        assert (fixed.status, fixed.out.split()[0]) == (0, "fixed")


def test_every_case_is_accounted_for_though_workers_die(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "TwoFaults", functions=10)
    stats = done.stats()
    assert done.status == 1
    assert stats["functions"] == 10
    assert stats["worker_deaths"] > 2
    assert {"exit 7", "SIGABRT"} == {f["detail"].split(" while")[0] for f in stats["entries"]}
    assert len(done.entries()) == len(stats["entries"]) == 2
    assert "a worker died (exit status 7) at case 0/" in done.out


def test_the_same_whoever_does_it(tmp_path: Path) -> None:
    found = []
    for jobs in ("1", "2"):
        folder = tmp_path / jobs
        folder.mkdir()
        done = fuzz(folder, "Raises", "-j", jobs, functions=33)
        stats = done.stats()
        assert stats["functions"] == 33
        found.append({finding["signature"] for finding in stats["entries"]})
    assert len(found[0]) == 1
    assert found[0] == found[1]


def test_what_is_unsupported_is_counted_by_reason(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "Refuses")
    stats = done.stats()
    count = stats["unsupported"]["no multiplication here"]
    assert 0 < count < 40
    assert (done.status, stats["entries"], stats["functions"]) == (0, [], 40)
    assert f"unsupported {count} times: no multiplication here" in done.out


def test_nothing_tested_is_no_success(tmp_path: Path) -> None:
    done = fuzz(tmp_path, "RefusesAll")
    assert done.status == 2
    assert done.stats()["unsupported"] == {"not today": 40}
    assert "nothing was tested" in done.out


def test_two_campaigns_on_one_corpus_keep_the_union(tmp_path: Path) -> None:
    args = ("fuzz", "--target", "bad", "-n", "16", "--stop-on-first",
            "--seed", "1", "--corpus", "shared")  # fmt: skip
    first = Command(tmp_path, *args, "--out", "a", target="Raises")
    second = Command(tmp_path, *args, "--out", "b", target="RaisesToo")
    one, two = first.finish(), second.finish()
    assert one.status == two.status == 1
    paths = {
        f["path"] for done, out in ((one, "a"), (two, "b")) for f in done.stats(out)["entries"]
    }
    assert len(paths) == 2
    assert paths == {str(path.relative_to(tmp_path)) for path in one.entries("shared")}


def test_a_finding_known_from_before_is_not_new(tmp_path: Path) -> None:
    (path,) = fuzz(tmp_path, "Raises", "--stop-on-first", functions=16).entries()
    before = path.read_bytes()
    again = fuzz(tmp_path, "Raises", "--fresh", functions=16)
    assert again.stats()["entries"] == []
    assert again.stats()["known"] >= 1
    assert "FOUND" not in again.out
    assert again.entries() == [path]
    assert path.read_bytes() == before


def slow(folder: Path, *args: str, target: str = "Slow") -> Command:
    return Command(folder, "fuzz", "--target", "bad", "--time", "60s", "--seed", "1", "--out", "out",
                   *args, target=target)  # fmt: skip


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_sums_up(tmp_path: Path, number: signal.Signals, status: int) -> None:
    command = slow(tmp_path)
    command.workers(1)
    command.process.send_signal(number)
    done = command.finish(20)
    assert done.status == status
    stats = done.stats()
    assert stats["interrupted"] is True
    assert (
        sum(re.search(r"\d+ functions \(", line) is not None for line in done.out.splitlines()) == 1
    )


def test_an_interrupt_of_the_whole_group_is_the_parents(tmp_path: Path) -> None:
    """A terminal's Ctrl-C goes to the workers as well."""
    command = slow(tmp_path, "-j", "2")
    command.workers(2)
    os.killpg(command.process.pid, signal.SIGINT)
    done = command.finish(20)
    assert (done.status, done.err) == (130, "")
    assert done.stats()["worker_deaths"] == 0


def test_a_second_interrupt_stops_now(tmp_path: Path) -> None:
    command = slow(tmp_path, "--timeout", "60s", target="Drags")
    command.workers(1)
    command.lines_until("clifhanger: seed")
    command.process.send_signal(signal.SIGINT)
    with pytest.raises(TimeoutError):
        _wait(command, 0.4)
    command.process.send_signal(signal.SIGINT)
    _wait(command, 2.0)
    assert command.finish(5).status == 130


def _wait(command: Command, seconds: float) -> None:
    import subprocess

    try:
        command.process.wait(seconds)
    except subprocess.TimeoutExpired:
        raise TimeoutError from None


def test_a_killed_parent_leaves_no_worker(tmp_path: Path) -> None:
    command = slow(tmp_path, "-j", "2")
    command.workers(2)
    command.process.kill()
    command.process.wait()
    assert command.left() == []


def test_a_killed_worker_is_replaced_and_said(tmp_path: Path) -> None:
    command = Command(tmp_path, "fuzz", "--target", "bad", "-n", "64", "--seed", "1", "--out", "out",
                      target="Slow")  # fmt: skip
    (worker,) = command.workers(1)
    command.lines_until("clifhanger: seed")
    os.kill(worker, signal.SIGKILL)
    done = command.finish(30)
    stats = done.stats()
    assert (done.status, stats["worker_deaths"], stats["functions"]) == (0, 1, 64)
    assert "a worker died (SIGKILL)" in done.out
