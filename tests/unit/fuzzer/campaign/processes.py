"""Running commands as their users do, and seeing what processes they leave behind."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from fuzzer.campaign.schedule import Schedule
from fuzzer.campaign.state import read

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[3]


class Command:
    """``clifhanger`` with ``args`` in ``folder``, in a session of its own so that its processes can be counted.

    ``target``: a class of :mod:`misbehaving` to have as the target called ``bad``. ``log``: a file to print to, so that
    what was printed is known of one that is killed. ``largest``: bytes that a file of its may have.
    """

    def __init__(
        self, folder: Path, *args: str, target: str = "", log: Path | None = None,
        largest: int | None = None,
    ) -> None:  # fmt: skip
        self.folder = folder
        self.log = log
        with contextlib.ExitStack() as files:
            out = files.enter_context(log.open("w")) if log else subprocess.PIPE
            self.process = subprocess.Popen(
                [*self.program(target), *args], cwd=folder, env=self.environment(), text=True,
                stdout=out, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        if largest is not None:
            resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (largest, largest))

    @staticmethod
    def program(target: str) -> list[str]:
        return [
            sys.executable,
            *([str(_HERE / "misbehaving.py"), target] if target else ["-m", "fuzzer"]),
        ]

    @staticmethod
    def environment() -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(_ROOT), "CI": "1"}

    def finish(self, seconds: float = 60.0) -> Done:
        """Wait for the end; afterwards nothing of the session may be left."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
        out = self.log.read_text() if self.log else out
        return Done(self.folder, self.process.returncode, out, err, self.left())

    def kill(self) -> Done:
        """End it as ``kill -9`` does; afterwards nothing of the session may be left."""
        self.process.kill()
        return self.finish()

    def lines_until(self, word: str) -> list[str]:
        """What it prints up to the line with ``word``."""
        assert self.process.stdout is not None
        lines = []
        for line in self.process.stdout:
            lines.append(line)
            if word in line:
                return lines
        raise AssertionError(f"no {word!r} in {lines}")

    def members(self) -> list[int]:
        """The living processes of its session, itself included."""
        session = self.process.pid
        found = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(path.parent.name))
        return found

    def workers(self, count: int, seconds: float = 20.0) -> list[int]:
        """Its children once there are ``count`` of them."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = [pid for pid in self.members() if pid != self.process.pid]
            if len(found) >= count:
                return found
            time.sleep(0.02)
        raise AssertionError(f"no {count} workers")

    def left(self, seconds: float = 3.0) -> list[int]:
        """What is left of the session after giving it time to go."""
        end = time.monotonic() + seconds
        while (found := self.members()) and time.monotonic() < end:
            time.sleep(0.02)
        return found


class Done:
    """A command that has ended."""

    def __init__(self, folder: Path, status: int, out: str, err: str, left: list[int]) -> None:
        self.folder = folder
        self.status = status
        self.out = out
        self.err = err
        assert left == [], "processes left behind"
        assert "Traceback" not in out + err, out + err

    def stats(self, out: str = "out") -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / out / "stats.json").read_text())
        return found

    def entries(self, corpus: str = "corpus") -> list[Path]:
        return sorted((self.folder / corpus).rglob("*.clif"))


class Journal(NamedTuple):
    """What a campaign's journal says it came to."""

    signatures: frozenset[str]
    functions: int
    runs: int
    forms: dict[str, dict[str, int]]
    rules: dict[str, dict[int, int]]
    kinds: dict[str, int]
    paths: frozenset[str]


def journal_of(out: Path) -> Journal:
    """Read while it may still be written to."""
    state = read(out)
    schedule = Schedule(state.header.seed, state.header.shard, {})
    state.restore(schedule)
    counts = schedule.counts()
    findings = state.findings()
    state.close()
    return Journal(
        frozenset(findings), counts.sums.functions, counts.sums.runs,
        {isa: coverage.forms for isa, coverage in counts.coverage.items()},
        {isa: coverage.rules for isa, coverage in counts.coverage.items()},
        counts.kinds, frozenset(row.path for row in findings.values()),
    )  # fmt: skip


def run(folder: Path, *args: str, target: str = "", seconds: float = 60.0) -> Done:
    """Run a command to its end."""
    return Command(folder, *args, target=target).finish(seconds)
