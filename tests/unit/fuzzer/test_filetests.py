"""Running filetests: what is counted as what, and that bad files are one line with a place."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.errors import InternalError, Unsupported
from backend.ir.entities import Function
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case, Input, OptionValue
from fuzzer.cli.check import command as check
from fuzzer.cli.fmt import command as fmt
from fuzzer.cli.test import command as run_tests
from fuzzer.filetests import EXECUTORS, Surroundings, run_file
from fuzzer.outcome import Outcome, Returned
from fuzzer.targets import target_named
from fuzzer.targets.target import Target

MIXED = """test interpret
function %inc(i32) -> i32 {
block0(v0: i32):
  v1 = iconst.i32 1
  v2 = iadd v0, v1
  return v2
}
; run: %inc(1) == 2
; run: %inc(-1) == 0
; run: %inc(3) == 5
; run: %inc(3) != 4
; print: %inc(41)

function %vector(i32) -> i32 {
block0(v0: i32):
  v1 = splat.i32x4 v0
  return v0
}
; run: %vector(1) == 1

function %div(i8) -> i8 {
block0(v0: i8):
  v1 = udiv v0, v0
  return v1
}
; run: %div(3) == 1
; run: %div(0) == 1

function %forever() -> i8 {
block0:
  jump block1
block1:
  jump block1
}
; run: %forever() == 1

function %uninitialised() -> i8 {
  ss0 = explicit_slot 4
block0:
  v0 = stack_addr.i64 ss0
  v1 = load.i8 v0
  return v1
}
; run: %uninitialised() == 1
"""
GOOD = "function %f() -> i8 {\nblock0:\n    v0 = iconst.i8 1\n    return v0\n}\n; run\n"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, text: str) -> Path:
    path = Path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def invoke(command: object, *args: str) -> Result:
    result = CliRunner().invoke(command, list(args))  # type: ignore[arg-type]  # a click command
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def test_run_lines_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fuzzer.filetests.FUEL", 1000)
    write("a.clif", MIXED)
    result = invoke(run_tests, "a.clif", "--json")
    found = json.loads(result.stdout)
    assert found["totals"] == {"passed": 3, "failed": 3, "unsupported": 3}
    (file,) = found["files"]
    assert file["path"] == "a.clif"
    assert file["failures"] == [
        {"line": 10, "text": "; run: %inc(3) == 5", "expected": "5", "got": "4"},
        {"line": 11, "text": "; run: %inc(3) != 4", "expected": "not 4", "got": "4"},
        {"line": 27, "text": "; run: %div(0) == 1", "expected": "1", "got": "trap int_divz"},
    ]
    reasons = file["unsupported_reasons"]
    assert reasons["splat"] == 1
    assert reasons["out of fuel"] == 1
    assert any(reason.startswith("undefined behaviour") for reason in reasons)
    assert result.exit_code == 1


def test_lines_for_people() -> None:
    write("a.clif", MIXED.split("function %forever")[0])
    result = invoke(run_tests, "a.clif")
    assert "print: %inc(41) -> 42" in result.output
    assert "a.clif:10: run: %inc(3) == 5   got 4" in result.output
    assert "unsupported: splat 1" in result.output
    assert "3 passed, 3 failed, 1 unsupported in 1 files" in result.output


def test_folders_are_searched_and_a_broken_file_does_not_stop_the_others() -> None:
    write("d/a.clif", GOOD)
    write("d/deep/b.clif", GOOD)
    write("d/deep/c.txt", "not a test")
    assert invoke(run_tests, "d").exit_code == 0
    write("d/broken.clif", "function %f( {\n")
    result = invoke(run_tests, "d", "--json")
    assert json.loads(result.stdout)["totals"]["passed"] == 2
    assert result.stderr == "d/broken.clif:1:14: expected a type, found {\n"
    assert result.exit_code == 2


def test_nothing_tested_is_exit_2() -> None:
    write("a.clif", "function %f() {\nblock0:\n    return\n}\n")
    result = invoke(run_tests, "a.clif")
    assert result.exit_code == 2
    assert "nothing was tested" in result.stderr


def test_an_executor_may_refuse_or_break(monkeypatch: pytest.MonkeyPatch) -> None:
    path = write("a.clif", GOOD)

    def refuses(
        f: Function, i: list[Input], isa: str, opt: str, file: Surroundings
    ) -> list[Outcome | Unsupported]:
        raise Unsupported(f"no {isa} at {opt}")

    def breaks(
        f: Function, i: list[Input], isa: str, opt: str, file: Surroundings
    ) -> list[Outcome | Unsupported]:
        raise InternalError("lost a register")

    def wrong(
        f: Function, i: list[Input], isa: str, opt: str, file: Surroundings
    ) -> list[Outcome | Unsupported]:
        return [Returned((0,), b"") for _ in i]

    refused = run_file(path, refuses, "vax", "speed")
    assert (refused.unsupported, dict(refused.reasons)) == (1, {"no vax at speed": 1})
    assert run_file(path, breaks, "vax", "none").failures[0].got == "error: lost a register"
    monkeypatch.setitem(EXECUTORS, "interpreter", wrong)
    assert invoke(run_tests, "a.clif").exit_code == 1


@pytest.mark.parametrize(("header", "flags"), [
    ("", [{}]),
    ("target aarch64\n", [{}]),
    ("target x86_64\n", [{}]),
    ("target x86_64-unknown-linux-gnu has_popcnt\n", [{"has_popcnt": True}]),
    ("target x86_64 has_popcnt=false has_sse41=true has_lzcnt=maybe\n",
     [{"has_popcnt": False, "has_sse41": True}]),
    ("target aarch64 has_lse\ntarget x86_64\ntarget x86_64 haswell\ntarget x86_64\n",
     [{}, {"haswell": True}]),
])  # fmt: skip
def test_a_target_line_says_what_the_processor_has(
    header: str, flags: list[dict[str, bool]]
) -> None:
    path = write("a.clif", "test run\n" + header + GOOD)
    said = []

    def listens(
        f: Function, i: list[Input], isa: str, opt: str, file: Surroundings
    ) -> list[Outcome | Unsupported]:
        said.append(file.flags)
        return [Returned((1,), b"") for _ in i]

    assert run_file(path, listens, "x86_64", "none").passed == 1
    assert said == flags


def test_a_line_has_to_hold_under_every_target_line() -> None:
    path = write("a.clif", "test run\ntarget x86_64\ntarget x86_64 has_popcnt\n" + GOOD)

    def fails_with_popcnt(
        f: Function, i: list[Input], isa: str, opt: str, file: Surroundings
    ) -> list[Outcome | Unsupported]:
        return [Returned((int(not file.flags),), b"") for _ in i]

    result = run_file(path, fails_with_popcnt, "x86_64", "none")
    assert (result.passed, result.failed) == (0, 1)


def test_features_reach_the_compiler_that_has_them(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = "has_popcnt has_bmi2 has_sse41=false"
    path = write("a.clif", f"test run\ntarget x86_64 {flags}\ntarget aarch64 has_lse\n" + GOOD)
    builtin = type(target_named("builtin"))
    seen: list[dict[str, OptionValue]] = []
    compile_case = builtin.compile

    def watched(self: Target, case: Case) -> CompiledCode:
        seen.append(case.options)
        return compile_case(self, case)  # type: ignore[arg-type]  # the builtin target

    monkeypatch.setattr(builtin, "compile", watched)
    for isa in ("x86_64", "aarch64"):
        assert run_file(path, EXECUTORS["builtin"], isa, "none").passed == 1
    assert seen == [
        {"opt_level": "none", "has_popcnt": True, "has_sse41": False},
        {"opt_level": "none"},
    ]


BAD = {
    "junk": (bytes(range(128, 256)), "f.clif:1:1: not UTF-8"),
    "empty": (b"", None),
    "syntax": (b"function %f() {\nblock0:\n  v0 = iadd v9, v9\n}\n", "f.clif:3:13: v9 is not defined"),
    "nul": (b"function %f() {\0}\n", r"f.clif:1:16: expected a declaration, a block or '}', found '\x00'"),
    "huge": (b"(" * (1 << 20), "f.clif:1:1: expected a function, found ("),
    "verify": (b"function %f(i32) {\nblock0(v0: i32):\n  return v0\n}\n; run: %f(1) == []\n",
               "f.clif:3:3: the function returns: 0 values, not 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("command", [check, run_tests, fmt], ids=["check", "test", "fmt"])
def test_bad_input_is_one_line_with_its_place(name: str, command: object) -> None:
    data, message = BAD[name]
    Path("f.clif").write_bytes(data)
    result = invoke(command, "f.clif")
    if command is fmt and message is not None and name == "verify":
        assert result.exit_code == 0  # canonical text needs no valid function
        return
    if message is None:
        assert result.exit_code == (0 if command is fmt else 2)
    else:
        assert result.stderr.splitlines()[0] == message
        assert result.exit_code == 2
        assert Path("f.clif").read_bytes() == data


@pytest.mark.parametrize("command", [check, run_tests, fmt], ids=["check", "test", "fmt"])
def test_files_that_are_none(command: object) -> None:
    assert "missing.clif" in invoke(command, "missing.clif").stderr
    assert invoke(command, "missing.clif").exit_code == 2
    os.mkfifo("fifo.clif")
    found: list[Result] = []
    thread = threading.Thread(
        target=lambda: found.append(invoke(command, "fifo.clif")), daemon=True
    )
    thread.start()
    thread.join(10)
    assert found
    assert found[0].exit_code == 2


def test_check_lists_every_mistake() -> None:
    write("a.clif", "function %f(i32) {\nblock0(v0: i32):\n  v1 = fadd v0, v0\n  return v0\n}\n")
    result = invoke(check, "a.clif")
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [
        "a.clif:3:3",
        "a.clif:4:3",
    ]
    write("a.clif", GOOD)
    assert invoke(check, "a.clif").output == "1 functions in 1 files\n"


def test_fmt_rewrites_whole_files_and_keeps_comments() -> None:
    text = GOOD.replace("    v0", "  v0").replace("iconst.i8 1", "iconst.i8 0x1   ; one")
    path = write("a.clif", text)
    assert invoke(fmt, "--check", "a.clif").exit_code == 1
    assert path.read_text() == text
    assert invoke(fmt, "a.clif").exit_code == 0
    assert path.read_text() == GOOD.replace("iconst.i8 1", "iconst.i8 1 ; one")
    assert invoke(fmt, "--check", "a.clif").exit_code == 0
    assert [p.name for p in Path().iterdir()] == ["a.clif"]


def test_fmt_leaves_a_file_alone_if_it_cannot_write(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "function %f(){\nblock0:\nreturn}\n"
    path = write("a.clif", text)

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    result = invoke(fmt, "a.clif")
    assert result.exit_code == 2
    assert result.stderr == "a.clif: No space left on device\n"
    assert path.read_text() == text
    assert [p.name for p in Path().iterdir()] == ["a.clif"]
