"""Entries: what is written reads back, is a valid filetest, and hostile files are refused in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backend.ir.filetest import parse_file
from backend.ir.parser import parse_function
from backend.ir.printer import print_function
from fuzzer.case import DATA_BASE, Case
from fuzzer.corpus.entry import (
    MAX_BYTES,
    Entry,
    EntryError,
    load_entry,
    parse_entry,
    print_entry,
    read_text,
)
from fuzzer.corpus.store import Store
from fuzzer.reference.evaluate import outcomes_of

TEXT = """function %f(i8, i64) -> i8, i64 {
block0(v0: i8, v1: i64):
    v2 = iadd v0, v0
    trapz v1, user3
    return v2, v1
}"""


def entry(**changes: object) -> Entry:
    case = Case(
        parse_function(TEXT),
        [(200, 1 << 63), (1, 0)],
        options={"registers": 4, "on": True, "s": 'a"b'},
    )
    made = Entry(
        case, "result", "builtin", "0123456789ab", observed='got "x"\x1b[31m\n', seed="0x1/2"
    )
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def store_one(store: Store, made: Entry) -> tuple[Path, str]:
    return store.save(made, text_of(made))


def text_of(made: Entry) -> str:
    return print_entry(made, outcomes_of(made.case))


def test_the_target_line_says_what_the_processor_has() -> None:
    made = entry()
    made.case.isa = "x86_64"
    made.case.options = {"has_popcnt": True, "has_bmi1": False, "registers": 4}
    text = text_of(made)
    assert "\ntarget x86_64 has_popcnt\n" in text
    assert "\n; option.has_popcnt = true\n" in text
    assert parse_entry(text).case.options == made.case.options


def test_an_entry_reads_back() -> None:
    made = entry()
    again = parse_entry(text_of(made))
    assert print_function(again.case.function) == print_function(made.case.function)
    assert (again.case.inputs, again.case.options) == (made.case.inputs, made.case.options)
    assert (again.check, again.target, again.signature) == ("result", "builtin", "0123456789ab")
    assert again.observed == made.observed
    assert again.expected == ["returned 0x90 0x8000000000000000", "trap user3"]


def test_an_entry_is_a_filetest_whose_run_lines_are_the_references() -> None:
    text = text_of(entry())
    parsed = parse_file(text)
    assert len(parsed.functions) == 1
    assert text.count("; run:") == 1  # the trapping input has no run line
    assert "; run: %f(200, 0x8000000000000000) == [144, 0x8000000000000000]" in text


def test_no_control_character_reaches_the_file() -> None:
    assert all(c.isprintable() or c == "\n" for c in text_of(entry()))


@pytest.mark.parametrize(
    "image", [bytes(4096), b"\xff" * 1024, bytes(range(256)) * 16, os.urandom(1024)]
)
def test_memory_reads_back(image: bytes) -> None:
    function = parse_function("function %f(i64) {\nblock0(v0: i64):\n return\n}")
    made = entry(case=Case(function, [(DATA_BASE,)], memory=image))
    text = text_of(made)
    assert parse_entry(text).case.memory == image
    assert "; run:" not in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.replace("; schema = 1", "; schema = 9"), "schema 9"),
        (lambda t: t.replace("; ///\n", "", 1), "not closed"),
        (lambda t: t.replace('"0x1"', '"zz"'), "hex strings"),
        (lambda t: t.replace('"0x1"', '"0x1ff"'), "does not fit"),
        (lambda t: t.replace("; isa = ", "; isb = "), "isa must be a string"),
        (lambda t: t.replace('status = "open"', 'status = "maybe"'), "status 'maybe'"),
        (lambda t: t.replace("; kind = ", "; kind == "), "metadata"),
        (lambda t: t.replace("iadd v0, v0", "iadd v0, v1"), "v1"),
        (lambda t: t.replace("iadd v0, v0", "frobnicate v0"), "frobnicate"),
        (lambda t: t.replace("; inputs", "; " + "x" * 70_000 + " = 1\n; inputs"), "more than"),
        (lambda t: "; run\n" + t, "first line"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(EntryError) as caught:
        parse_entry(change(text_of(entry())), "x.clif")
    assert message in str(caught.value)
    assert str(caught.value).startswith("x.clif")
    assert "\n" not in str(caught.value)


def test_files_that_are_no_files(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo.clif"
    os.mkfifo(fifo)
    huge = tmp_path / "huge.clif"
    huge.write_bytes(b"; " * MAX_BYTES)
    latin = tmp_path / "latin.clif"
    latin.write_bytes(b"; one\n; \xe9\n")
    for path, message in [(fifo, "not a regular file"), (huge, "larger than"), (latin, ":2:3: not UTF-8"),
                          (tmp_path / "none.clif", "No such file"), (tmp_path, "not a regular file")]:  # fmt: skip
        with pytest.raises(EntryError, match=message):
            read_text(path)


class TestStore:
    def test_new_known_smaller(self, tmp_path: Path) -> None:
        store = Store(tmp_path / "corpus")
        made = entry()
        path, verdict = store_one(store, made)
        assert (verdict, path.parent.name) == ("new", "mismatch")
        assert path.name == "result-builtin-aarch64-0123456789ab.clif"
        assert store.knows(made)
        assert store.signatures() == {"0123456789ab"}
        assert store_one(store, made)[1] == "known"
        smaller = entry(case=Case(parse_function("function %f() {\nblock0:\n return\n}"), [()]))
        assert store_one(store, smaller) == (path, "smaller")
        assert load_entry(path).case.inputs == [()]
        assert store_one(store, made)[1] == "known"

    def test_a_damaged_entry_is_replaced(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        made = entry()
        path, _ = store_one(store, made)
        path.write_text("; /// clifhanger\n; schema")
        assert store_one(store, made)[1] == "smaller"
        assert load_entry(path).signature == made.signature

    def test_an_entry_marked_fixed_is_not_overwritten(self, tmp_path: Path) -> None:
        store = Store(tmp_path)
        made = entry(status="fixed")
        store_one(store, made)
        smaller = entry(case=Case(parse_function("function %f() {\nblock0:\n return\n}"), [()]))
        assert store_one(store, smaller)[1] == "known"

    def test_nothing_is_left_of_a_failed_write(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        store = Store(tmp_path)
        made = entry()
        path, _ = store_one(store, made)
        before = path.read_text()

        def full(handle: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        path.write_text("; damaged")
        with pytest.raises(OSError, match="No space"):
            store_one(store, made)
        assert path.read_text() == "; damaged"
        assert [p.name for p in path.parent.iterdir()] == [path.name]
        assert before
