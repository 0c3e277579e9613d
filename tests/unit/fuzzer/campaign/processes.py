"""Running commands as their users do, and seeing what processes they leave behind."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

_HERE = Path(__file__).parent
_ROOT = _HERE.parents[3]


class Command:
    """``clifhanger`` with ``args`` in ``folder``, in a session of its own so that its processes can be counted.

    ``target``: a class of :mod:`misbehaving` to have as the target called ``bad``.
    """

    def __init__(self, folder: Path, *args: str, target: str = "") -> None:
        self.folder = folder
        program = [str(_HERE / "misbehaving.py"), target] if target else ["-m", "fuzzer"]
        environment = {**os.environ, "PYTHONPATH": str(_ROOT), "CI": "1"}
        self.process = subprocess.Popen(
            [sys.executable, *program, *args], cwd=folder, env=environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def finish(self, seconds: float = 60.0) -> Done:
        """Wait for the end; afterwards nothing of the session may be left."""
        try:
            out, err = self.process.communicate(timeout=seconds)
        finally:
            self.process.kill()
        return Done(self.folder, self.process.returncode, out, err, self.left())

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


def run(folder: Path, *args: str, target: str = "", seconds: float = 60.0) -> Done:
    """Run a command to its end."""
    return Command(folder, *args, target=target).finish(seconds)
