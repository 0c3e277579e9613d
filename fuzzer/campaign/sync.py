"""A folder that several machines share, by rsync, NFS or anything else that copies files: no service, no network here.

Now and then a campaign puts what it has found into ``FOLDER/<kind>/``, and takes what others put there into its own
corpus, where it counts as known from then on.

**Invariants.** Both sides are written through :class:`~fuzzer.corpus.store.Store`: whole files, under a lock, a
smaller reproducer in place of a larger one, never the other way; so every exchange leaves the union on both sides,
even if what copies the folder loses a file or overwrites a small one. Only what was told is given: drafts stay at
home. What lies in the folder may be anything: each file is refused or taken by itself, and refused aloud once.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fuzzer.checks import CHECKS
from fuzzer.corpus.entry import Entry, EntryError, read_text
from fuzzer.corpus.foreign import foreign_entry
from fuzzer.corpus.store import Store

_KINDS: Final = tuple(sorted({check.kind for check in CHECKS.values()}))
_PATIENCE: Final = 5.0
"""Seconds that somebody else may hold the folder's lock."""
_Stamp = tuple[int, int, int]


@dataclass(slots=True)
class Exchanged:
    """What an exchange did: entries ``given`` and ``taken``, new or smaller; the signatures ``learned``, which our
    corpus did not have; a line for each file ``refused``.
    """

    given: int = 0
    taken: int = 0
    learned: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)


class Sync:
    """One campaign's side of a shared folder."""

    def __init__(self, folder: Path, corpus: Path) -> None:
        self.folder = folder
        self._here = Store(corpus)
        self._there = Store(folder, patience=_PATIENCE)
        self._looked: dict[Path, _Stamp] = {}
        self._refused: set[Path] = set()
        #: entries of our corpus by name below it: to give; given or taken
        self._due: set[Path] = set()
        self._shared: set[Path] = set()
        for path in self._files(corpus, Exchanged()):
            self._due.add(path.relative_to(corpus))

    def add(self, path: Path) -> None:
        """An entry of our corpus is to be given to the others."""
        self._due.add(Path(path.parent.name, path.name))

    def exchange(self) -> Exchanged:
        """Take what is new there, give what is new here. OSError if the folder can't be used; nothing is lost then."""
        done = Exchanged()
        present: set[Path] = set()
        for path, stamp in self._files(self.folder, done).items():
            name = path.relative_to(self.folder)
            present.add(name)
            if self._looked.get(name) != stamp:
                self._look_into(path, name, done)
                self._looked[name] = stamp
        self._due |= self._shared - present
        for name in sorted(self._due):
            self._give(name, done)
            self._due.discard(name)
        return done

    def _files(self, root: Path, done: Exchanged) -> dict[Path, _Stamp]:
        """The entries below a corpus folder, and what changes when they do. No links are followed."""
        found: dict[Path, _Stamp] = {}
        if root == self.folder:
            os.stat(root)
        for kind in _KINDS:
            try:
                mode = os.lstat(root / kind).st_mode
            except FileNotFoundError:
                continue
            if not stat.S_ISDIR(mode):
                self._refuse(root / kind, f"{root / kind}: not a folder", done)
                continue
            with os.scandir(root / kind) as items:
                for item in items:
                    if item.name.startswith(".") or not item.name.endswith(".clif"):
                        continue
                    try:
                        status = item.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    path = root / kind / item.name
                    if stat.S_ISREG(status.st_mode):
                        found[path] = (status.st_mtime_ns, status.st_size, status.st_ino)
                    else:
                        self._refuse(path, f"{path}: not a regular file", done)
        return dict(sorted(found.items()))

    def _refuse(self, path: Path, why: str, done: Exchanged) -> None:
        if path not in self._refused:
            self._refused.add(path)
            done.refused.append(why)

    def _read(self, path: Path, done: Exchanged) -> tuple[Entry, str] | None:
        """The entry in a file and its text; None if it is refused."""
        try:
            text = read_text(path)
            return foreign_entry(text, str(path)), text
        except EntryError as error:
            self._refuse(path, str(error), done)
            return None

    def _look_into(self, path: Path, name: Path, done: Exchanged) -> None:
        read = self._read(path, done)
        if read is None:
            return
        entry, text = read
        right = self._there.path_of(entry)
        if right != path:
            self._refuse(path, f"{path}: holds what belongs into {right.name}", done)
            return
        ours, verdict = self._here.save(entry, text)
        self._shared.add(name)
        if verdict == "new":
            done.learned.add(entry.signature)
        if verdict != "known":
            done.taken += 1
        elif ours.read_bytes() != text.encode():
            self._due.add(name)

    def _give(self, name: Path, done: Exchanged) -> None:
        path = self._here.root / name
        read = self._read(path, done) if path.exists() else None
        if read is None or read[0].status == "seed" or (self.folder / name.parent).is_symlink():
            return
        there, verdict = self._there.save(*read)
        done.given += verdict != "known"
        status = os.lstat(there)
        name = there.relative_to(self.folder)
        self._shared.add(name)
        self._looked[name] = (status.st_mtime_ns, status.st_size, status.st_ino)
