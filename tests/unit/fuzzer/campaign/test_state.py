"""The journal: whole or not there, one writer, and one line for whatever somebody has put in its place."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from fuzzer.campaign import state as journal
from fuzzer.campaign.messages import Tried
from fuzzer.campaign.state import NAME, AtWork, StateError, Tallies, create, read, resume, row_of
from fuzzer.cli import cli
from tests.unit.fuzzer.campaign.pretend import found_of, header_of, settings_of
from tests.unit.fuzzer.campaign.processes import journal_of


def begun(out: Path, *signatures: str) -> None:
    state = create(out, header_of(settings_of(out, None)), ["aaaaaaaaaaaa"])
    state.finish_slice([Tried(0, 0, 32, 32, 100)], Tallies(1.5, 2, 3))
    for number, signature in enumerate(signatures):
        state.note_finding(row_of(found_of(signature), "builtin", "new", float(number)))
    state.close()


def test_what_was_written_is_read(tmp_path: Path) -> None:
    begun(tmp_path, "0123456789ab", "ba9876543210")
    for state in (resume(tmp_path), read(tmp_path)):
        assert list(state.findings()) == ["0123456789ab", "ba9876543210"]
        assert [report.functions for report in state.reports()] == [32]
        assert state.tallies() == Tallies(1.5, 2, 3)
        assert state.known_before() == {"aaaaaaaaaaaa"}
        assert state.header.seed == 7
        state.close()


def test_one_writer_many_readers(tmp_path: Path) -> None:
    state = create(tmp_path, header_of(settings_of(tmp_path, None)))
    for again in (lambda: resume(tmp_path), lambda: create(tmp_path, state.header)):
        with pytest.raises(AtWork, match="another campaign is at work in it"):
            again()
    assert journal.at_work(tmp_path)
    read(tmp_path).close()
    state.close()
    state.close()
    assert not journal.at_work(tmp_path)
    resume(tmp_path).close()


def test_a_campaign_killed_while_it_begins_has_not_begun(tmp_path: Path) -> None:
    """At each call that writes: either there is no journal, or one to go on with."""
    program = (
        "import os, signal, sys; from pathlib import Path\n"
        "from fuzzer.campaign import state; from tests.unit.fuzzer.campaign.pretend import *\n"
        "left = int(sys.argv[2]); out = Path(sys.argv[1])\n"
        "def hook(event, args):\n"
        "    global left\n"
        "    ours = event in ('os.rename', 'sqlite3.connect', 'os.remove')\n"
        "    if ours or event == 'open' and out.name in str(args[0]):\n"
        "        left -= 1\n"
        "        if left < 0: os.kill(os.getpid(), signal.SIGKILL)\n"
        "header = header_of(settings_of(out, None)); sys.addaudithook(hook)\n"
        "state.create(out, header); print('done')\n"
    )
    outcomes = []
    for left in range(3, 14, 2):
        out = tmp_path / str(left)
        out.mkdir()
        begun(out, "0123456789ab")
        done = subprocess.run([sys.executable, "-c", program, str(out), str(left)], check=False,
                              env={**os.environ, "PYTHONPATH": os.getcwd()}, capture_output=True)  # fmt: skip
        if done.stdout:
            assert left > 5
            break
        assert done.returncode == -9, done.stderr
        outcomes.append(journal.exists(out))
        if journal.exists(out):
            resume(out).close()
        create(out, header_of(settings_of(out, None))).close()
        assert read(out).findings() == {}
    assert {True, False} == set(outcomes)


def test_a_transaction_is_all_or_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    state = create(tmp_path, header_of(settings_of(tmp_path, None)))
    with contextlib.suppress(TypeError), state.transaction():
        state.set("x", 1)
        state.set("y", object())
        raise AssertionError
    assert state.get("x", int) is None
    state._db.execute("pragma max_page_count = 1")  # the disk is full from here on
    big = "x" * (1 << 20)
    for _ in range(2):
        with pytest.raises(sqlite3.OperationalError, match="full"), state.transaction():
            state.set("x", big)
    state._db.execute("pragma max_page_count = 100000")
    with state.transaction():
        state.set("x", big)
    assert state.get("x", str) == big
    state.close()
    resume(tmp_path).close()


def _text(out: Path, *statements: str) -> None:
    connection = sqlite3.connect(out / NAME)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()


def _torn(out: Path) -> None:
    data = (out / NAME).read_bytes()
    (out / NAME).write_bytes(data[: len(data) // 2])


def _scribbled(out: Path) -> None:
    data = bytearray((out / NAME).read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    (out / NAME).write_bytes(data)


BROKEN: dict[str, Callable[[Path], object]] = {
    "garbage": lambda out: (out / NAME).write_bytes(b"junk" * 5000),
    "empty": lambda out: (out / NAME).write_bytes(b""),
    "torn": _torn,
    "scribbled": _scribbled,
    "another program's": lambda out: _text(out, "drop table meta", "create table meta (a, b)"),
    "schema": lambda out: _text(out, "update meta set value = '99' where key = 'schema'"),
    "no header": lambda out: _text(out, "delete from meta where key = 'header'"),
    "header": lambda out: _text(out, "update meta set value = '[1' where key = 'header'"),
    "header's fields": lambda out: _text(out, "update meta set value = '{}' where key = 'header'"),
    "no slices": lambda out: _text(out, "drop table slices"),
    "report": lambda out: _text(out, "update slices set report = '{'"),
    "report's bytes": lambda out: _text(out, "update slices set report = x'ff00'"),
    "report's type": lambda out: _text(out, "update slices set report = 3"),
    "finding": lambda out: _text(out, "update findings set row = '{\"path\": 3}'"),
    "tallies": lambda out: _text(out, "insert or replace into meta values ('tallies', '\"x\"')"),
    "epoch": lambda out: _text(out, "insert or replace into meta values ('epoch', '\"x\"')"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_journal_that_is_none(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    begun(out, "0123456789ab")
    BROKEN[name](out)
    before = (out / NAME).read_bytes()
    result = CliRunner().invoke(
        cli, ["fuzz", "-n", "1", "--seed", "7", "--out", "out", "--corpus", "corpus", "--resume"]
    )
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("clifhanger: out")
    assert (out / NAME).read_bytes().startswith(before[:100])
    for command in ("status", "coverage"):
        shown = CliRunner().invoke(cli, [command, "out"])
        assert shown.exception is None or isinstance(shown.exception, SystemExit), shown.exception
    assert "Traceback" not in result.output
    fresh = CliRunner().invoke(
        cli, ["fuzz", "-n", "1", "--seed", "7", "--out", "out", "--corpus", "corpus", "--fresh"]
    )
    assert fresh.exit_code == 0, fresh.output
    assert journal_of(out).functions == 1


@pytest.mark.parametrize("flags", [(), ("--resume",), ("--fresh",)])
def test_a_folder_in_the_journals_place(
    flags: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("out", NAME).mkdir(parents=True)
    result = CliRunner().invoke(cli, ["fuzz", "-n", "1", "--out", "out", *flags])
    assert result.exit_code == 2
    assert result.stderr == f"clifhanger: out/{NAME}: Is a directory\n"


def test_a_disk_that_is_full_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **rest: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(StateError) as caught:
        create(tmp_path, header_of(settings_of(tmp_path, None)))
    assert caught.value.full
    monkeypatch.undo()
    assert not journal.exists(tmp_path)
    create(tmp_path, header_of(settings_of(tmp_path, None))).close()
