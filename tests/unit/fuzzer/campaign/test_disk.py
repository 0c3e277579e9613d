"""A disk that takes no more: the campaign stops with status 3 and one clear line, nothing is truncated, and with room
made it goes on to the same end.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fuzzer.corpus.entry import load_entry
from tests.unit.fuzzer.campaign.processes import Command, Done, Journal, journal_of, run

FUZZ = ("fuzz", "--target", "bad", "-n", "96", "--seed", "1", "--no-ui")
FULL = "clifhanger: stopped, could not go on: "
HERE = ("--out", "out", "--corpus", "corpus")


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Journal:
    folder = tmp_path_factory.mktemp("reference")
    assert run(folder, *FUZZ, *HERE, target="Raises").status == 1
    found = journal_of(folder / "out")
    assert (found.functions, len(found.signatures)) == (96, 1)
    return found


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of a megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def stopped(done: Done, folder: Path) -> None:
    """It ended as a campaign on a full disk has to."""
    assert done.status == 3, done.out + done.err
    said = [line for line in done.out.splitlines() if line.startswith(FULL)]
    alone = [line for line in done.err.splitlines() if line]
    assert len(said) == 1 or len(alone) == 1, (done.out, done.err)
    assert "internal error" not in done.out
    assert "a worker died" not in done.out
    for path in (folder / "corpus").rglob("*.clif"):
        load_entry(path)


def goes_on(folder: Path, reference: Journal) -> None:
    done = run(folder, *FUZZ, *HERE, "--resume", target="Raises")
    assert done.status in (0, 1), done.out + done.err
    found = journal_of(folder / "out")
    assert found._replace(paths=frozenset()) == reference._replace(paths=frozenset())
    (path,) = done.entries()
    assert load_entry(path).signature in reference.signatures


def more(*values: int) -> list[object]:
    """Parameters for those who have the time."""
    return [pytest.param(value, marks=pytest.mark.slow) for value in values]


@pytest.mark.parametrize("left", [0, 80, *more(24, 48, 64, 100, 120)])
def test_a_full_disk(small: Path, reference: Journal, left: int) -> None:
    """``left``: KiB of room; a campaign needs some for its log, and more for its entry."""
    free = os.statvfs(small).f_bavail * os.statvfs(small).f_frsize
    (small / "ballast").write_bytes(bytes(free - (left << 10)))
    done = run(small, *FUZZ, *HERE, target="Raises")
    stopped(done, small)
    (small / "ballast").unlink()
    goes_on(small, reference)


def test_a_disk_that_fills_up_later(small: Path, reference: Journal) -> None:
    """Stopped in mid-campaign, again when there still is no room, and then not."""
    command = Command(small, *FUZZ, *HERE, "-n", "100000", target="Raises")
    command.lines_until("FOUND")
    filled = small / "ballast"
    with filled.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
    stopped(command.finish(), small)
    before = journal_of(small / "out")
    assert before.signatures == reference.signatures
    again = run(small, *FUZZ, *HERE, "-n", "100000", "--resume", target="Raises")
    stopped(again, small)
    filled.unlink()
    done = run(small, *FUZZ, *HERE, "-n", str(before.functions + 64), "--resume", target="Raises")
    assert done.status == 0
    assert journal_of(small / "out").functions >= before.functions


@pytest.mark.parametrize("largest", [5_000, *more(1, 20_000, 40_000, 60_000, 90_000)])
def test_a_quota(tmp_path: Path, reference: Journal, largest: int) -> None:
    """No file may grow beyond ``largest`` bytes, set while it starts."""
    command = Command(tmp_path, *FUZZ, *HERE, target="Raises", largest=largest)
    stopped(command.finish(), tmp_path)
    goes_on(tmp_path, reference)


def test_nobody_can_be_told(tmp_path: Path) -> None:
    """Standard output on a full disk: no traceback, and the state is saved."""
    done = subprocess.run(
        ["sh", "-c", 'exec "$@" > /dev/full', "sh", *Command.program("Raises"), *FUZZ, *HERE],
        cwd=tmp_path, env=Command.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert done.stderr == "clifhanger: standard output: No space left on device\n"


@pytest.mark.parametrize("option", ["--out", "--corpus"])
def test_a_folder_that_is_read_only(small: Path, option: str) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    args = dict(
        zip(HERE[::2], (str(small.parent / "out"), str(small.parent / "corpus")), strict=True)
    )
    args[option] = str(small / "below")
    done = run(
        small.parent, *FUZZ, *(word for pair in args.items() for word in pair), target="Raises"
    )
    assert (done.status, done.out) == (2, "")
    assert done.err == f"clifhanger: {small / 'below'}: can't be written: Read-only file system\n"


def test_a_corpus_that_becomes_read_only(small: Path) -> None:
    args = (*FUZZ, "-n", "100000", "--out", "../out", "--corpus", "corpus", "--timeout", "60s")
    command = Command(small, *args, target="Slow")
    command.workers(1)
    subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
    command.process.terminate()
    assert command.finish().status == 143
    done = run(small, *args, "--resume", target="Raises")
    assert done.status == 2
    assert "can't be written: Read-only file system" in done.err
