"""``replay`` and ``shrink``: what an entry has become, in words and in the exit status."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.errors import Unsupported
from backend.ir.parser import parse_function
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case
from fuzzer.checks.reassembly import assemble
from fuzzer.cli.replay import command as replay
from fuzzer.cli.shrink import command as shrink
from fuzzer.corpus.entry import Entry, load_entry, print_entry
from fuzzer.reference.evaluate import outcomes_of
from fuzzer.targets import TARGETS, Row
from fuzzer.targets.builtin import Builtin

LONG = """function %f(i64, i64) -> i64, i64 {
block0(v0: i64, v1: i64):
    v2 = iconst.i64 42
    v3 = iadd v0, v2
    v4 = bxor v3, v1
    v5 = isub v4, v0
    v6 = smax v5, v2
    return v6, v3
}"""


class Wrong(Builtin):
    """Right but for ``x0``, which it doubles on its way out."""

    name = "wrong"

    def compile(self, case: Case) -> CompiledCode:
        code = super().compile(case)
        last = code.code.rindex(assemble("aarch64", "ret"))
        double = b"".join(assemble("aarch64", text) for text in ("add x0, x0, x0", "ret"))
        return CompiledCode("aarch64", code.code[:last] + double, traps=code.traps)


class Dies(Builtin):
    name = "dies"

    def compile(self, case: Case) -> CompiledCode:
        os.abort()


class Fails(Builtin):
    name = "fails"

    def compile(self, case: Case) -> CompiledCode:
        raise IndexError("row 9")


class Refuses(Builtin):
    name = "refuses"

    def compile(self, case: Case) -> CompiledCode:
        raise Unsupported("never")


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for made in (Wrong, Dies, Fails, Refuses):
        monkeypatch.setitem(TARGETS, made.name, Row(__name__, made.__name__, "for tests"))


def write(name: str = "a.clif", text: str = LONG, **changes: object) -> Path:
    """An entry of the target ``wrong`` that is open, unless ``changes`` say otherwise."""
    function = parse_function(text)
    inputs = [tuple(7 for _ in function.signature.params)]
    entry = Entry(Case(function, inputs), "result", "wrong", "0123456789ab")
    for field, value in changes.items():
        setattr(entry, field, value)
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(print_entry(entry, outcomes_of(entry.case)))
    return path


def invoke(command: object, *args: str) -> Result:
    result = CliRunner().invoke(command, list(args))  # type: ignore[arg-type]  # a click command
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


@pytest.mark.parametrize(
    ("changes", "target", "verdict", "status", "bisect"),
    [
        ({}, "wrong", "still failing", 1, 1),
        ({}, "builtin", "fixed", 0, 0),
        ({"status": "fixed"}, "wrong", "FAILING AGAIN", 1, 1),
        ({"status": "fixed"}, "builtin", "fixed", 0, 0),
        ({"status": "wontfix"}, "wrong", "still failing", 1, 1),
        ({"status": "seed", "check": ""}, "builtin", "clean", 0, 0),
        ({"status": "seed", "check": ""}, "wrong", "changed", 1, 1),
        ({"check": "frame"}, "wrong", "changed", 1, 1),
        ({}, "fails", "changed", 1, 1),
        ({"check": "crash", "kind": "crash"}, "fails", "still failing", 1, 1),
        ({"check": "crash", "kind": "crash"}, "dies", "still failing", 1, 1),
        ({}, "dies", "changed", 1, 1),
        ({}, "refuses", "unsupported", 2, 125),
    ],
)
def test_verdicts(
    changes: dict[str, str], target: str, verdict: str, status: int, bisect: int
) -> None:
    path = write(**changes)
    before = path.read_bytes()
    result = invoke(replay, str(path), "--target", target)
    assert result.output.split("  ")[0].strip() == verdict
    assert result.exit_code == status
    assert invoke(replay, str(path), "--target", target, "--bisect-exit").exit_code == bisect
    assert path.read_bytes() == before


def test_the_detail_is_shown() -> None:
    assert invoke(replay, str(write())).output == (
        "still failing  a.clif  result: result 0: expected 0x2f, got 0x5e\n"
    )


def test_an_outcome_that_the_reference_no_longer_gives_is_changed() -> None:
    path = write()
    path.write_text(path.read_text().replace("returned 0x2f", "returned 0x30"))
    result = invoke(replay, str(path), "--target", "builtin")
    assert result.output.startswith("changed")
    assert "the reference now says" in result.output
    assert result.exit_code == 1


def test_a_program_without_meaning_is_invalid() -> None:
    text = """function %f() -> i8 {
    ss0 = explicit_slot 4
block0:
    v0 = stack_addr.i64 ss0
    v1 = load.i8 v0
    return v1
}"""
    path = write(text="function %f() -> i8 {\nblock0:\n    v0 = iconst.i8 1\n    return v0\n}")
    path.write_text(path.read_text().split("function")[0] + text)
    result = invoke(replay, str(path))
    assert result.output.startswith("invalid")
    assert result.exit_code == 2
    assert invoke(shrink, str(path)).exit_code == 2


def test_a_folder_with_bad_files_among_good_ones() -> None:
    write("d/a.clif")
    write("d/deep/b.clif", target="builtin")
    Path("d/junk.clif").write_bytes(bytes(range(128, 256)))
    Path("d/plain.clif").write_text(LONG)
    Path("d/notes.txt").write_text("no entry")
    write("d/other.clif", target="zcc")
    write("d/isa.clif").write_text(
        Path("d/a.clif").read_text().replace('isa = "aarch64"', 'isa = "vax"')
    )
    os.mkfifo("d/fifo.clif")
    result = invoke(replay, "d")
    assert [line.split("  ")[0] for line in result.stdout.splitlines()] == [
        "still failing", "fixed", "clifhanger: 2 replayed, 1 failing, 4 unreadable",
    ]  # fmt: skip
    assert sorted(line.split(": ")[1] for line in result.stderr.splitlines()) == [
        "d/isa.clif", "d/junk.clif:1:1", "d/other.clif", "d/plain.clif:1:1",
    ]  # fmt: skip
    assert result.exit_code == 2
    assert invoke(replay, "d", "--bisect-exit").exit_code == 125


def test_what_a_file_says_does_not_reach_the_terminal_raw() -> None:
    path = write(target="\x1b[31mred")
    result = invoke(replay, str(path))
    assert "\x1b" not in result.output
    assert result.exit_code == 2


def test_options_belong_to_the_target_they_were_drawn_for() -> None:
    case = Case(parse_function(LONG), [(1, 2)], options={"registers": 4})
    path = write(case=case, target="builtin")
    assert invoke(replay, str(path)).exit_code == 0
    pytest.importorskip("llvmlite")
    assert invoke(replay, str(path), "--target", "llvm", "--all-isas").output.startswith("fixed")


def test_shrink_makes_it_small_and_keeps_what_it_is() -> None:
    path = write(status="wontfix", seed="0x1/0/2/3")
    result = invoke(shrink, str(path), "-o", "small.clif")
    assert result.output == "small.clif: 6 -> 2 instructions\n"
    small = load_entry(Path("small.clif"))
    assert small.case.function.instruction_count() == 2
    assert (small.check, small.target, small.status, small.seed) == (
        "result",
        "wrong",
        "wontfix",
        "0x1/0/2/3",
    )
    assert load_entry(path).case.function.instruction_count() == 6
    assert invoke(replay, "small.clif").output.startswith("still failing")
    assert invoke(shrink, str(path)).exit_code == 0
    assert load_entry(path).case.function.instruction_count() == 2


def test_shrink_of_what_does_not_fail() -> None:
    path = write(target="builtin")
    before = path.read_bytes()
    result = invoke(shrink, str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "clifhanger: a.clif: does not fail; nothing to shrink\n"
    assert path.read_bytes() == before


def test_shrink_finds_the_rule_that_is_broken_if_the_entry_names_none() -> None:
    result = invoke(shrink, str(write(check="nonsense")), "-o", "small.clif")
    assert result.exit_code == 0
    assert load_entry(Path("small.clif")).check == "result"


def test_shrink_where_it_cannot_write() -> None:
    path = write()
    result = invoke(shrink, str(path), "-o", "a.clif/below")
    assert result.exit_code == 2
    assert result.stderr == "clifhanger: a.clif/below: Not a directory\n"
