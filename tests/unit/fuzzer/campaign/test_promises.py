"""A campaign comes to the same whoever works for it, and whatever ends it on the way there.

The faults are real: signals to processes, at moments drawn from a seed. What must hold after each is written
once, in :func:`whole`.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzzer.corpus.entry import load_entry
from tests.unit.fuzzer.campaign.processes import Command, Done, Journal, journal_of, run

COMMON = ("fuzz", "--seed", "5", "-n", "130", "--out", "out", "--corpus", "corpus", "--no-ui")
FUZZ = (*COMMON, "--plant", "popcount-size")
"""A bug that breaks two rules, one told apart by its key and one by its shape, each seldom."""
MORE = (*COMMON, "--plant", "popcount-size,multiply-subtract-adds,halfword-load-byte")


def undisturbed(folder: Path, args: tuple[str, ...], findings: int) -> Journal:
    """What one worker comes to that nobody disturbs."""
    done = run(folder, *args, seconds=120)
    assert done.status == 1
    found = journal_of(folder / "out")
    assert found.functions == 130
    assert len(found.signatures) >= findings
    assert printed(done.out) == found.signatures
    return found


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    return undisturbed(tmp_path_factory.mktemp("reference"), FUZZ, 2)


def printed(out: str) -> set[str]:
    """The signatures of the FOUND lines; none twice."""
    signatures = re.findall(r"^FOUND \w+ aarch64 ([0-9a-f]{12}) ", out, re.MULTILINE)
    assert len(signatures) == len(set(signatures))
    return set(signatures)


def whole(folder: Path, told: set[str]) -> None:
    """Nothing that was printed is missing, and nothing is half there."""
    paths = sorted((folder / "corpus").rglob("*.clif"))
    on_disk = {load_entry(path).signature for path in paths}
    assert told <= on_disk
    if (folder / "out" / "campaign.sqlite").exists():
        assert told <= journal_of(folder / "out").signatures <= on_disk


def same(found: Journal, reference: Journal, folder: Path) -> None:
    assert found._replace(paths=frozenset()) == reference._replace(paths=frozenset())
    entries = {load_entry(path).signature for path in (folder / "corpus").rglob("*.clif")}
    assert entries == reference.signatures


@pytest.mark.parametrize("jobs", ["2", pytest.param("3", marks=pytest.mark.slow)])
def test_the_same_however_many_work(tmp_path: Path, reference: Journal, jobs: str) -> None:
    done = run(tmp_path, *FUZZ, "-j", jobs, seconds=120)
    assert done.status == 1
    same(journal_of(tmp_path / "out"), reference, tmp_path)
    assert printed(done.out) == reference.signatures


class Chaos:
    """A campaign that is killed and gone on with. ``told``: the findings that were printed so far."""

    def __init__(self, folder: Path, seed: int, jobs: int, args: tuple[str, ...] = FUZZ) -> None:
        self.folder = folder
        self.args = args
        self.random = random.Random(seed)
        self.jobs = jobs
        self.told: set[str] = set()
        self.runs = 0
        self.start()

    def start(self) -> None:
        self.runs += 1
        self.command = Command(self.folder, *self.args, "-j", str(self.jobs), "--resume",
                               log=self.folder / f"log{self.runs}")  # fmt: skip

    def running(self) -> bool:
        return self.command.process.poll() is None

    def ended(self, done: Done) -> None:
        """Whatever ended it, all that was promised holds."""
        new = printed(done.out)
        assert not new & self.told, "reported as new twice"
        self.told |= new
        whole(self.folder, self.told)

    def wait(self, longest: float) -> None:
        """Mostly at work, at times while it begins."""
        log, end = self.folder / f"log{self.runs}", time.monotonic() + 20
        if self.random.random() < 0.8:
            while self.running() and not log.read_text() and time.monotonic() < end:
                time.sleep(0.01)
        time.sleep(self.random.uniform(0, longest))

    def kill_worker(self) -> bool:
        """One of its processes, itself not."""
        others = [pid for pid in self.command.members() if pid != self.command.process.pid]
        if others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.random.choice(others), signal.SIGKILL)
        return bool(others)

    def kill_campaign(self) -> bool:
        alive = self.running()
        self.ended(self.command.kill())
        self.start()
        return alive

    def interrupt(self) -> bool:
        alive = self.running()
        with contextlib.suppress(ProcessLookupError):
            self.command.process.send_signal(self.random.choice((signal.SIGINT, signal.SIGTERM)))
        self.ended(self.command.finish(60))
        self.start()
        return alive

    def finish(self) -> Journal:
        self.ended(self.command.finish(120))
        if self.command.process.returncode not in (0, 1):
            raise AssertionError(self.command.process.returncode)
        return journal_of(self.folder / "out")


def disturb(chaos: Chaos, kinds: list[Callable[[], bool]], times: int, longest: float) -> int:
    """Do one of these so often, or until there is nothing left to disturb; how often it was done."""
    count = 0
    for _ in range(times):
        chaos.wait(longest)
        if not chaos.running():
            break
        count += chaos.random.choice(kinds)()
    return count


def test_interrupted_and_gone_on_with(tmp_path: Path, reference: Journal) -> None:
    chaos = Chaos(tmp_path, 1, 2)
    assert disturb(chaos, [chaos.interrupt], 2, 0.6) == 2
    same(chaos.finish(), reference, tmp_path)
    assert chaos.told == reference.signatures


def test_killed_ten_times(tmp_path: Path, reference: Journal) -> None:
    chaos = Chaos(tmp_path, 2, 2)
    kinds = [chaos.kill_worker, chaos.kill_worker, chaos.kill_campaign]
    assert disturb(chaos, kinds, 10, 0.4) >= 5
    same(chaos.finish(), reference, tmp_path)


@pytest.mark.slow
def test_killed_a_hundred_times(
    tmp_path_factory: pytest.TempPathFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = undisturbed(tmp_path_factory.mktemp("reference"), MORE, 4)
    kills = runs = campaigns = 0
    while kills < 100:
        folder = tmp_path_factory.mktemp("chaos")
        chaos = Chaos(folder, 100 + campaigns, 1 + campaigns % 3, MORE)
        campaigns += 1
        kinds = [chaos.kill_worker, chaos.kill_worker, chaos.kill_campaign, chaos.interrupt]
        kills += disturb(chaos, kinds, 30, 0.8)
        same(chaos.finish(), reference, folder)
        runs += chaos.runs
        with capsys.disabled():
            print(
                f"\n{campaigns} campaigns, {runs} runs, {kills} kills so far, told {len(chaos.told)}"
            )


def test_two_campaigns_on_one_folder_of_state(tmp_path: Path) -> None:
    args = ("fuzz", "--target", "bad", "--time", "60s", "--seed", "1", "--out", "out")
    first = Command(tmp_path, *args, target="Slow")
    first.lines_until("clifhanger: seed")
    for flag, why in (("--resume", "out: another campaign is at work in it"),
                      ("--fresh", "out: another campaign is at work in it"),
                      ("--no-ui", "out: holds a campaign; --resume goes on with it, --fresh begins anew")):  # fmt: skip
        second = run(tmp_path, *args, flag, target="Slow")
        assert (second.status, second.out, second.err) == (2, "", f"clifhanger: {why}\n")
    first.process.send_signal(signal.SIGINT)
    assert first.finish(20).status == 130


def test_what_does_not_repeat_is_told_as_such(tmp_path: Path) -> None:
    done = run(tmp_path, "fuzz", "--target", "bad", "-n", "64", "--seed", "1", "--out", "out",
               target="Flaky")  # fmt: skip
    assert done.status == 1
    stats = done.stats()
    assert (stats["functions"], stats["worker_deaths"], stats["errors"]) == (64, 0, [])
    flaky = [found for found in stats["entries"] if "nondeterministic" in found["suspect"]]
    assert flaky
    for found in flaky:
        assert re.fullmatch(r"nondeterministic: seen again in [012] of 3 runs", found["suspect"])
        assert f"(suspect: {found['suspect']})" in done.out
        assert load_entry(tmp_path / found["path"]).note == f"suspect: {found['suspect']}"
    assert {found["signature"] for found in stats["entries"]} == printed(done.out)
    digest = run(tmp_path, "triage", "out", target="Flaky")
    assert f", {len(flaky)} flaky" in digest.out


def test_what_a_compiler_says_is_not_obeyed(tmp_path: Path) -> None:
    """By a terminal, or by what reads the log of a job: in no line that is printed."""
    done = run(tmp_path, "fuzz", "--target", "bad", "-n", "32", "--seed", "1", "--out", "out",
               "--report", "html,junit,sarif,json,github", target="Hostile")  # fmt: skip
    assert done.status == 1
    (path,) = done.entries()
    said = [done.out.replace("\n::error file=", "\nerror file="), done.err]
    for command in ("replay", "explain", "triage", "status"):
        where = "out" if command == "status" else "corpus" if command == "triage" else str(path)
        shown = run(tmp_path, command, where, target="Hostile")
        assert shown.status in (0, 1, 2)
        said += [shown.out, shown.err]
    for text in said:
        for line in text.split("\n"):
            assert line.isprintable(), repr(line)
            assert not line.lstrip().startswith("::"), line
    assert all(line.isprintable() for line in path.read_text().split("\n"))
    assert "owned" in load_entry(path).observed
