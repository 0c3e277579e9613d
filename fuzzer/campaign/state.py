"""A campaign's journal: one SQLite file (WAL) in its folder, written by the parent alone.

What was printed is in it, and what is in it is whole: a finding is committed before it is printed, a slice when all
of it was tried and its findings are told. Killed at any moment, a campaign goes on with at most one slice a worker to
to be done again. Readers (``status``, ``coverage``, reports) open it read-only while it runs.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from fuzzer.campaign.messages import Found, Tried
from fuzzer.campaign.schedule import Counts, Plan, Schedule, slices_of
from fuzzer.report.summary import Event, FindingRow, Sample

SCHEMA: Final = 1
NAME: Final = "campaign.sqlite"

_TABLES: Final = """
create table if not exists meta (key text primary key, value text not null) without rowid;
create table if not exists slices (slice integer, start integer, report text not null,
                                   primary key (slice, start)) without rowid;
create table if not exists findings (signature text primary key, row text not null) without rowid;
create table if not exists samples (seconds real, functions integer, runs integer, findings integer,
                                    workers integer);
create table if not exists events (seconds real, kind text, text text);
"""

_T = TypeVar("_T")


class StateError(Exception):
    """The journal can't be used; one line that says what to do. ``full``: since the disk took no more."""

    full = False


class AtWork(StateError):
    """Somebody else writes the journal."""


class Tallies(msgspec.Struct):
    """What is counted outside of slices. ``seconds``: of campaign time; ``known``: findings met again."""

    seconds: float = 0.0
    deaths: int = 0
    known: int = 0


class Header(msgspec.Struct, frozen=True):
    """What a campaign is: fixed when it starts. A resumed one must agree in all but ``started``."""

    target: str
    isas: list[str]
    seed: int
    shard: int
    shards: int
    options: dict[str, bool | int | str]
    plants: list[str]
    items: int
    versions: str
    corpus: str
    started: str


class State:
    """The journal of one campaign. Open it with :func:`create`, :func:`resume` or :func:`read`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, lock: int = -1) -> None:
        self.path = path
        self._db = connection
        self._lock = lock

    def close(self) -> None:
        self._db.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    # -- values by key

    def get(self, key: str, type_: type[_T]) -> _T | None:
        with self._reading():
            row = self._db.execute("select value from meta where key = ?", (key,)).fetchone()
            return None if row is None else msgspec.json.decode(row[0], type=type_)

    def set(self, key: str, value: object) -> None:
        self._db.execute(
            "insert or replace into meta values (?, ?)", (key, msgspec.json.encode(value).decode())
        )

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Everything or nothing of what is written inside."""
        self._db.execute("begin immediate")
        try:
            yield
            self._db.execute("commit")
        except BaseException:
            # A full disk has rolled it back already.
            if self._db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("rollback")
            raise

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """StateError for whatever a journal that was not written by us may hold."""
        try:
            yield
        except (sqlite3.Error, msgspec.DecodeError, TypeError, ValueError) as error:
            raise _refusal(self.path, error) from None

    def check(self) -> None:
        """StateError if what is on disk is not whole."""
        with self._reading():
            (said,) = self._db.execute("pragma quick_check(1)").fetchone()
            if said != "ok":
                raise ValueError(said)

    @property
    def header(self) -> Header:
        found = self.get("header", Header)
        if found is None:
            raise StateError(f"{self.path}: no campaign in it")
        return found

    # -- writing

    def finish_slice(self, reports: list[Tried], tallies: Tallies) -> None:
        """A slice is done: what it counted."""
        with self.transaction():
            for tried in reports:
                self._db.execute(
                    "insert or replace into slices values (?, ?, ?)",
                    (tried.slice, tried.start, msgspec.json.encode(tried).decode()),
                )
            self.set("tallies", tallies)

    def fold(self, schedule: Schedule) -> None:
        """Finished epochs are kept as sums only."""
        with self.transaction():
            self.set("epoch", schedule.epoch)
            self.set("folded", schedule.folded)
            self.set("plans", schedule.plans)
            self._db.execute(
                "delete from slices where slice < ?", (slices_of(schedule.epoch).start,)
            )

    def note_finding(self, row: FindingRow) -> None:
        """Committed and synced when this returns."""
        self._db.execute("pragma synchronous = full")
        with self.transaction():
            self._db.execute(
                "insert or replace into findings values (?, ?)",
                (row.signature, msgspec.json.encode(row).decode()),
            )
        self._db.execute("pragma synchronous = normal")

    def note_event(self, event: Event) -> None:
        with self.transaction():
            self._db.execute(
                "insert into events values (?, ?, ?)", (event.seconds, event.kind, event.text)
            )

    def note_sample(self, sample: Sample, tallies: Tallies) -> None:
        with self.transaction():
            self._db.execute(
                "insert into samples values (?, ?, ?, ?, ?)",
                (sample.seconds, sample.functions, sample.runs, sample.findings, sample.workers),
            )
            self.set("tallies", tallies)

    # -- reading

    def reports(self) -> list[Tried]:
        """What slices beyond the folded epochs came to."""
        with self._reading():
            rows = self._db.execute("select report from slices order by slice, start")
            return [msgspec.json.decode(row[0], type=Tried) for row in rows]

    def restore(self, schedule: Schedule) -> None:
        """Put a fresh schedule where this campaign stopped."""
        plans = self.get("plans", dict[int, Plan]) or dict(schedule.plans)
        schedule.resume(self.get("epoch", int) or 0, self.get("folded", Counts) or Counts(), plans,
                        self.reports())  # fmt: skip

    def known_before(self) -> frozenset[str]:
        """The signatures that the corpus held when the campaign began."""
        return frozenset(self.get("known", list[str]) or ())

    def tallies(self) -> Tallies:
        return self.get("tallies", Tallies) or Tallies()

    def findings(self) -> dict[str, FindingRow]:
        """By signature, in the order in which they were found."""
        with self._reading():
            rows = [
                msgspec.json.decode(row[0], type=FindingRow)
                for row in self._db.execute("select row from findings")
            ]
        return {row.signature: row for row in sorted(rows, key=lambda row: row.seconds)}

    def samples(self) -> list[Sample]:
        with self._reading():
            rows = self._db.execute("select * from samples order by seconds")
            return [Sample(*row) for row in rows]

    def events(self) -> list[Event]:
        with self._reading():
            return [Event(*row) for row in self._db.execute("select * from events order by rowid")]


def row_of(found: Found, target: str, verdict: str, seconds: float) -> FindingRow:
    """A finding as the journal and the reports have it."""
    return FindingRow(
        found.signature, found.check, found.kind, target, found.isa, found.path, found.skeleton,
        found.detail, found.before, found.after, verdict, round(seconds, 3), 1, found.suspect,
    )  # fmt: skip


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=10.0)
    connection.execute("pragma journal_mode = wal")
    connection.execute("pragma synchronous = normal")
    return connection


def _locked(out: Path) -> int:
    handle = os.open(out / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise AtWork(f"{out}: another campaign is at work in it") from None
    return handle


_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_ROOM_IN_SQLITE: Final = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


def _refusal(path: Path, error: Exception) -> StateError:
    """Why a journal can't be used: no room to write it, no way to it, or something else in its place."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if isinstance(error, OSError) or code in _NO_ROOM_IN_SQLITE or code == sqlite3.SQLITE_CANTOPEN:
        place = getattr(error, "filename", None) or path
        refusal = StateError(f"{place}: {getattr(error, 'strerror', None) or error}")
        refusal.full = code in _NO_ROOM_IN_SQLITE or getattr(error, "errno", 0) in _NO_ROOM
        return refusal
    why = " ".join(str(error).split())
    return StateError(f"{path}: no journal of a campaign: {why}; begin anew with --fresh")


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    """StateError for whatever keeps a journal from being used."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise _refusal(path, error) from None


def create(out: Path, header: Header, known: Iterable[str] = ()) -> State:
    """Begin a campaign in ``out``, dropping one that was there. ``known``: the signatures that its corpus holds.

    The journal is there whole or not at all. StateError if somebody is at work in it, or it can't be written.
    """
    path, aside = out / NAME, out / f".{NAME}"
    with _opening(path), contextlib.ExitStack() as failed:
        lock = _locked(out)
        failed.callback(os.close, lock)
        # The old journal first: its log must never be taken for the new one's.
        for base in (path, aside):
            for suffix in ("", "-wal", "-shm", "-journal"):
                base.with_name(base.name + suffix).unlink(missing_ok=True)
        connection = sqlite3.connect(aside, isolation_level=None)
        with contextlib.closing(connection):
            connection.executescript(_TABLES)
            begun = State(aside, connection)
            with begun.transaction():
                begun.set("schema", SCHEMA)
                begun.set("header", header)
                begun.set("known", sorted(known))
        aside.rename(path)
        state = State(path, _connect(path), lock)
        failed.pop_all()
    return state


def resume(out: Path) -> State:
    """Open the campaign in ``out`` to go on with it. StateError if it can't be."""
    path = out / NAME
    with _opening(path), contextlib.ExitStack() as failed:
        lock = _locked(out)
        failed.callback(os.close, lock)
        state = _opened(path, _connect(path), lock)
        failed.pop_all()
        failed.callback(state.close)
        state.check()
        failed.pop_all()
    return state


def read(out: Path) -> State:
    """Open the campaign in ``out`` to look at it, also while it runs. StateError if there is none."""
    path = out / NAME
    if not path.is_file():
        raise StateError(f"{out}: no campaign in it ({NAME} is missing)")
    return _opened(path, sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True,
                                         isolation_level=None, timeout=10.0), -1)  # fmt: skip


def exists(out: Path) -> bool:
    """Is there a campaign in ``out``?"""
    return (out / NAME).is_file()


def at_work(out: Path) -> bool:
    """Is a campaign at work in ``out`` right now?"""
    try:
        os.close(_locked(out))
    except AtWork:
        return True
    except OSError:
        return False
    return False


def _opened(path: Path, connection: sqlite3.Connection, lock: int) -> State:
    state = State(path, connection, lock)
    try:
        schema = state.get("schema", int)
        if schema != SCHEMA:
            raise StateError(
                f"{path}: schema {schema}, this version reads {SCHEMA}; begin anew with --fresh"
            )
    except StateError:
        connection.close()
        raise
    return state
