"""Campaigns that share a folder end with the union, whatever else lies in it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from backend.ir.parser import parse_function
from fuzzer.campaign import sync as module
from fuzzer.campaign.sync import Sync
from fuzzer.case import Case
from fuzzer.corpus.entry import Entry, load_entry, print_entry
from fuzzer.corpus.store import Store
from fuzzer.reference.evaluate import outcomes_of
from tests.unit.fuzzer.campaign.processes import Command, run


def entry(signature: str, size: int = 1, check: str = "result", kind: str = "mismatch") -> Entry:
    """A finding whose reproducer has ``size`` instructions besides its return."""
    body = "\n".join(f"  v{number} = iconst.i32 {number}" for number in range(size))
    text = f"function %f() -> i32 {{\nblock0:\n{body}\n  return v{size - 1}\n}}"
    return Entry(Case(parse_function(text), [()], isa="aarch64"), check, "builtin", signature, kind)


def text_of(made: Entry) -> str:
    return print_entry(made, outcomes_of(made.case))


def put(corpus: Path, made: Entry) -> Path:
    return Store(corpus).save(made, text_of(made))[0]


def sizes(corpus: Path) -> dict[str, int]:
    return {
        path.stem.rpartition("-")[2]: load_entry(path).case.function.instruction_count() - 1
        for path in corpus.glob("*/*.clif")
    }


A, B, C = "a" * 12, "b" * 12, "c" * 12


def test_both_sides_end_with_the_union_of_the_smallest(tmp_path: Path) -> None:
    here, there, folder = tmp_path / "here", tmp_path / "there", tmp_path / "shared"
    folder.mkdir()
    put(here, entry(A, 5))
    put(here, entry(B, 2))
    put(there, entry(B, 4))
    one, two = Sync(folder, here), Sync(folder, there)
    assert (one.exchange().given, sizes(folder)) == (2, {A: 5, B: 2})
    done = two.exchange()
    assert (done.given, done.taken) == (0, 2)
    assert sizes(there) == {A: 5, B: 2}
    two.add(put(there, entry(A, 3)))
    two.add(put(there, entry(C, 1, "crash", "crash")))
    assert (two.exchange().given, one.exchange().taken) == (2, 2)
    assert sizes(here) == sizes(there) == sizes(folder) == {A: 3, B: 2, C: 1}
    for side in (one, two):
        done = side.exchange()
        assert (done.given, done.taken, done.refused) == (0, 0, [])


def test_what_a_copier_lost_or_spoiled_is_put_right(tmp_path: Path) -> None:
    here, folder = tmp_path / "here", tmp_path / "shared"
    folder.mkdir()
    lost, spoiled = put(here, entry(A, 2)), put(here, entry(B, 2))
    side = Sync(folder, here)
    side.exchange()
    (folder / lost.relative_to(here)).unlink()
    (folder / spoiled.relative_to(here)).write_text(text_of(entry(B, 9)))
    side.exchange()
    assert sizes(folder) == sizes(here) == {A: 2, B: 2}


def test_only_what_was_told_is_given(tmp_path: Path) -> None:
    here, folder = tmp_path / "here", tmp_path / "shared"
    folder.mkdir()
    side = Sync(folder, here)
    put(here, entry(A))  # a draft of some worker's
    side.exchange()
    assert sizes(folder) == {}


HOSTILE = {
    "garbage": b"function %f() {",
    "not UTF-8": b"\xff\xfe\x00",
    "huge": b";" * (2 << 20),
    "unclosed": b"; /// clifhanger\n; schema = 1\n",
    "a key of 100 KB": b'; /// clifhanger\n; x = "' + b"x" * 100_000 + b'"\n; ///\n',
    "another path": text_of(entry(A)).replace('"mismatch"', '"../../elsewhere"').encode(),
    "another kind": text_of(entry(A)).replace('"mismatch"', '"crash"').encode(),
    "no check": text_of(entry(A)).replace('"result"', '"none"').encode(),
    "a target with a slash": text_of(entry(A)).replace('"builtin"', '"a/../../b"').encode(),
    "a signature with dots": text_of(entry(A)).replace(A, "../../../../x").encode(),
    "the wrong name": text_of(entry(B)).encode(),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_is_hostile_is_refused_once_and_the_rest_taken(tmp_path: Path, what: str) -> None:
    here, folder = tmp_path / "here", tmp_path / "shared"
    good = put(folder, entry(C))
    bad = good.with_name(f"result-builtin-aarch64-{A}.clif")
    bad.write_bytes(HOSTILE[what])
    side = Sync(folder, here)
    done = side.exchange()
    assert (done.taken, len(done.refused)) == (1, 1)
    assert done.refused[0].startswith(str(bad))
    assert len(done.refused[0]) < 400
    assert sizes(here) == {C: 1}
    assert side.exchange().refused == []
    bad.write_bytes(HOSTILE[what] + b"\n")
    assert side.exchange().refused == []
    assert bad.read_bytes() == HOSTILE[what] + b"\n"
    assert sorted(os.listdir(tmp_path)) == ["here", "shared"]


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    here, folder = tmp_path / "here", tmp_path / "shared"
    good = put(folder, entry(C))
    secret = tmp_path / "secret"
    secret.write_text(text_of(entry(A)))
    names = [good.with_name(f"result-builtin-aarch64-{digit * 12}.clif") for digit in "a12"]
    names[0].symlink_to(secret)
    os.mkfifo(names[1])
    names[2].mkdir()
    done = Sync(folder, here).exchange()
    assert done.taken == 1
    assert sorted(done.refused) == sorted(f"{name}: not a regular file" for name in names)
    assert sizes(here) == {C: 1}


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    here, folder, elsewhere = tmp_path / "here", tmp_path / "shared", tmp_path / "elsewhere"
    put(here, entry(A))
    folder.mkdir()
    elsewhere.mkdir()
    (folder / "mismatch").symlink_to(elsewhere)
    done = Sync(folder, here).exchange()
    assert done.refused == [f"{folder / 'mismatch'}: not a folder"]
    assert list(elsewhere.iterdir()) == []


def test_a_lock_that_nobody_gives_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.1)
    here, folder = tmp_path / "here", tmp_path / "shared"
    put(here, entry(A))
    folder.mkdir()
    side = Sync(folder, here)
    with open(folder / ".lock", "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(TimeoutError, match="locked by somebody"):
            side.exchange()
    assert side.exchange().given == 1


def test_campaigns_meet_in_a_folder(tmp_path: Path) -> None:
    args = ("fuzz", "--target", "bad", "-n", "64", "--seed", "1", "--sync", "shared",
            "--sync-every", "200ms")  # fmt: skip
    first = Command(tmp_path, *args, "--corpus", "ca", "--out", "a", target="Raises")
    second = Command(tmp_path, *args, "--corpus", "cb", "--out", "b", target="RaisesToo")
    one, two = first.finish(), second.finish()
    assert one.status == two.status == 1
    own = {
        f["signature"] for done, out in ((one, "a"), (two, "b")) for f in done.stats(out)["entries"]
    }
    assert len(own) == 2
    third = run(tmp_path, *args, "--corpus", "cc", "--out", "c", target="Raises")
    assert (third.status, third.stats("c")["entries"]) == (0, [])
    assert third.stats("c")["known"] >= 1
    fourth = run(tmp_path, *args, "--corpus", "ca", "--out", "d", target="Slow")
    assert fourth.status == 0
    assert set(sizes(tmp_path / "shared")) == set(sizes(tmp_path / "ca")) == own
    assert set(sizes(tmp_path / "cc")) == own


def test_a_folder_that_goes_away_is_said_and_survived(tmp_path: Path) -> None:
    command = Command(tmp_path, "fuzz", "--target", "bad", "-n", "100", "--seed", "1", "--out", "out",
                      "--sync", "shared", "--sync-every", "100ms", target="Slow")  # fmt: skip
    command.workers(1)
    command.lines_until("clifhanger: seed")
    for path in sorted((tmp_path / "shared").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (tmp_path / "shared").rmdir()
    said = "".join(command.lines_until("sync: shared"))
    assert "No such file or directory" in said
    done = command.finish(30)
    assert (done.status, done.stats()["functions"]) == (3, 100)
    assert "see to the folder and go on with --resume" in done.out
    assert done.out.count("No such file") == 1  # in what it stopped for


def test_a_folder_of_its_own_is_wanted(tmp_path: Path) -> None:
    done = run(tmp_path, "fuzz", "-n", "1", "--corpus", "c", "--sync", "c")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("clifhanger: --sync: c is the corpus itself")
