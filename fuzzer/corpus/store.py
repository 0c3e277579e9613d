"""Where entries live: ``corpus/<kind>/<check>-<target>-<isa>-<signature>.clif``.

Invariants: an entry on disk is complete (written aside, fsynced, renamed, the folder fsynced), a smaller
reproducer replaces a larger one under a lock, and two campaigns on one folder keep the union.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from fuzzer.corpus.entry import Entry, EntryError, load_entry

_MAX_NAME: Final = 60
"""Characters of a target's name in a file name: it may be a command."""


class Store:
    """A corpus folder. ``patience``: seconds to wait for its lock before TimeoutError; None: for ever."""

    def __init__(self, root: Path, *, patience: float | None = None) -> None:
        self.root = root
        self.patience = patience

    def path_of(self, entry: Entry) -> Path:
        bare = re.sub(r"[^\s:]*/", "", entry.target)
        target = re.sub(r"[^\w.-]+", "_", bare)[:_MAX_NAME].strip("_")
        name = f"{entry.check}-{target}-{entry.case.isa}-{entry.signature}.clif"
        return self.root / entry.kind / name

    def knows(self, entry: Entry) -> bool:
        return self.path_of(entry).exists()

    def signatures(self) -> set[str]:
        """Signatures of all entries, by their file names."""
        return {path.stem.rpartition("-")[2] for path in self.root.glob("*/*-*.clif")}

    def save(self, entry: Entry, text: str) -> tuple[Path, str]:
        """Keep the entry, printed as ``text``: its path, and ``new``, ``smaller`` (replaced a larger one) or
        ``known``."""
        path = self.path_of(entry)
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._lock():
            verdict = "new"
            if path.exists():
                verdict = "smaller" if self._is_smaller(entry, path) else "known"
            if verdict != "known":
                write_durably(path, text)
        return path, verdict

    @staticmethod
    def _is_smaller(entry: Entry, path: Path) -> bool:
        try:
            old = load_entry(path)
        except EntryError:
            return True
        if old.status != "open":
            return False

        def size(candidate: Entry) -> tuple[int, int, int]:
            case = candidate.case
            return case.instruction_count(), len(case.inputs), len(case.options)

        return size(entry) < size(old)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        self.root.mkdir(parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        handle = os.open(self.root / ".lock", flags, 0o644)
        try:
            self._wait_for(handle)
            yield
        finally:
            os.close(handle)

    def _wait_for(self, handle: int) -> None:
        if self.patience is None:
            fcntl.flock(handle, fcntl.LOCK_EX)
            return None
        end = time.monotonic() + self.patience
        while True:
            try:
                return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > end:
                    raise TimeoutError(
                        errno.ETIMEDOUT, f"locked by somebody for {self.patience:g}s"
                    ) from None
                time.sleep(0.02)


def write_durably(path: Path, text: str) -> None:
    """Write a file so that after a crash it is there whole or not at all."""
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
