"""A Dask cluster of processes of this machine that can be killed one by one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).parents[4]


class Cluster:
    """A scheduler in ``folder``; :meth:`add` workers of one thread. ``protocol``: ``tcp``, or ``tls`` with the
    options ``tls``.
    """

    def __init__(self, folder: Path, protocol: str = "tcp", tls: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.protocol = protocol
        self.tls = tls
        self.workers: list[subprocess.Popen[bytes]] = []
        self.start()

    def start(self) -> None:
        self.file = self.folder / "scheduler.json"
        self.file.unlink(missing_ok=True)
        self.scheduler = self._run(
            "scheduler", "dask_scheduler", "--protocol", self.protocol, "--host", "127.0.0.1",
            "--port", "0", "--scheduler-file", str(self.file),
        )  # fmt: skip
        self.address = ""
        end = time.monotonic() + 20
        while not self.address:
            assert time.monotonic() < end, self.log("scheduler")
            time.sleep(0.05)
            with contextlib.suppress(OSError, ValueError):
                self.address = json.loads(self.file.read_text())["address"]

    def add(self, root: Path = _ROOT, target: str = "") -> subprocess.Popen[bytes]:
        """One worker more, whose code is that below ``root``, with a class of :mod:`misbehaving` as the target
        called ``bad``.
        """
        preload = ("--preload", str(Path(__file__).with_name("leasing.py"))) if target else ()
        name = f"worker{len(self.workers)}"
        process = self._run(
            name, "dask_worker", self.address, "--nthreads", "1", "--no-nanny",
            "--local-directory", str(self.folder), *preload, root=root, target=target,
        )  # fmt: skip
        self.workers.append(process)
        return process

    def _run(
        self, name: str, module: str, *args: str, root: Path = _ROOT, target: str = ""
    ) -> subprocess.Popen[bytes]:
        with open(self.folder / f"{name}.log", "ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", "--no-dashboard", *self.tls,
                 *args],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=self.folder,
                env={**os.environ, "PYTHONPATH": str(root), "MISBEHAVES": target},
                start_new_session=True,
            )  # fmt: skip

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    @staticmethod
    def leases(worker: subprocess.Popen[bytes]) -> list[int]:
        """The leases among the children of a worker."""
        found: list[int] = []
        for task in Path(f"/proc/{worker.pid}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                found += [
                    int(pid)
                    for pid in task.read_text().split()
                    if b"leas" in Path(f"/proc/{pid}/cmdline").read_bytes()
                ]
        return found

    def at_work(self, worker: subprocess.Popen[bytes], seconds: float = 30.0) -> None:
        """Wait until a worker has a lease."""
        end = time.monotonic() + seconds
        while not self.leases(worker):
            assert time.monotonic() < end, "the worker gets no work"
            time.sleep(0.05)

    @staticmethod
    def kill(process: subprocess.Popen[bytes]) -> None:
        process.send_signal(signal.SIGKILL)
        process.wait()

    def end(self) -> None:
        for process in (*self.workers, self.scheduler):
            self.kill(process)
