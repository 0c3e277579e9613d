"""The smaller commands, and what all commands share: help, versions, pipes, interrupts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backend.ir.opcodes import OPCODES
from fuzzer import targets
from fuzzer.checks import CHECKS
from fuzzer.cli import COMMANDS, cli
from fuzzer.targets import TARGETS, Row, target_named

ROOT = Path(__file__).parents[4]
ADD = "function %f(i32) -> i32 {\nblock0(v0: i32):\n    v1 = iadd v0, v0\n    return v1\n}\n"


def invoke(*args: str) -> Result:
    result = CliRunner().invoke(cli, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def start(*args: str, folder: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "fuzzer", *args], cwd=folder, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_help_and_version() -> None:
    shown = invoke("--help").output
    for name, text in COMMANDS.items():
        assert name in shown
        assert text.split(".")[0][:40] in shown
    assert version("clifhanger") in invoke("--version").output


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str) -> None:
    result = invoke(name, "-h")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: cli {name} ")
    assert len(result.output.splitlines()) > 4


@pytest.mark.parametrize(
    ("stage", "words"),
    [
        ("vcode", ["add"]),
        ("alloc", ["add"]),
        ("asm", ["add w0, w0, w0", "ret"]),
        ("bytes", ["0000000b", "c0035fd6"]),
    ],
)
def test_compile_prints_each_stage(tmp_path: Path, stage: str, words: list[str]) -> None:
    path = tmp_path / "f.clif"
    path.write_text(ADD)
    result = invoke("compile", str(path), "--isa", "aarch64", "--emit", stage)
    assert result.exit_code == 0
    shown = result.output.replace(" ", "") if stage == "bytes" else result.output
    assert all(word in shown for word in words), result.output


def test_compile_is_for_the_isa_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "f.clif"
    path.write_text(ADD)
    for stage, words in (
        ("vcode", ["add_rr.l"]),
        ("asm", ["add eax, edi", "pop rbp", "ret"]),
        ("bytes", ["5dpop", "c3ret"]),
    ):
        shown = invoke("compile", str(path), "--isa", "x86_64", "--emit", stage).output
        shown = shown.replace(" ", "") if stage == "bytes" else shown
        assert all(word in shown for word in words), shown


def test_selftest_looks_for_a_bug_on_the_isa_that_shows_it() -> None:
    result = invoke("selftest", "--isa", "x86_64", "--bug", "x86-argument-offset", "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.output)["bugs"]
    assert (row["name"], row["found"]) == ("x86-argument-offset", True)
    result = invoke("selftest", "--isa", "aarch64", "--bug", "x86-argument-offset")
    assert result.exit_code == 2
    assert "shown by x86_64" in result.stderr


def test_the_stages_tested_are_all_there_are(tmp_path: Path) -> None:
    path = tmp_path / "f.clif"
    path.write_text(ADD)
    result = invoke("compile", str(path), "--emit", "none")
    assert (
        result.stderr
        == "clifhanger: --emit: builtin prints clif, vcode, alloc, asm, bytes, not 'none'\n"
    )


def test_compile_takes_options_and_targets(tmp_path: Path) -> None:
    path = tmp_path / "f.clif"
    path.write_text(ADD.replace("iadd v0, v0", "iadd_imm v0, 7").replace(
        "    v1 = iadd_imm v0, 7", "    v2 = iconst.i32 7\n    v1 = iadd v0, v2"))  # fmt: skip
    plain = invoke("compile", str(path)).output
    general = invoke("compile", str(path), "--opt", "disabled_rules=immediate").output
    assert "add w0, w0, #7" in plain
    assert "add w0, w0, #7" not in general
    path.write_text(ADD.replace("iadd v0, v0", "popcnt v0"))
    counting = ["compile", str(path), "--isa", "x86_64"]
    assert "popcnt e" not in invoke(*counting).output
    assert "popcnt e" in invoke(*counting, "--opt", "has_popcnt=yes").output
    other = invoke("compile", str(path), "--isa", "aarch64", "--opt", "has_popcnt=yes")
    assert "--opt: 'has_popcnt=yes'; builtin takes" in other.stderr
    pytest.importorskip("llvmlite")
    path.write_text(ADD.replace("iadd v0, v0", "iadd_imm v0, 7").replace(
        "    v1 = iadd_imm v0, 7", "    v2 = iconst.i32 7\n    v1 = iadd v0, v2"))  # fmt: skip
    assert "add w0, w0, #7" in invoke("compile", str(path), "--target", "llvm").output
    llvm = invoke("compile", str(path), "--target", "llvm", "--emit", "llvm")
    assert "add i32" in llvm.output


def test_compile_says_what_is_not_supported(tmp_path: Path) -> None:
    path = tmp_path / "f.clif"
    path.write_text(
        "function %f(f128) -> f128 {\nblock0(v0: f128):\n    v1 = fadd v0, v0\n    return v1\n}\n"
    )
    result = invoke("compile", str(path))
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"clifhanger: {path}: ")
    assert len(result.stderr.splitlines()) == 1


LISTS = {
    "targets": ("target", set(TARGETS)),
    "isas": ("isa", {"aarch64", "x86_64", "riscv64", "s390x", "arm", "mips64"}),
    "checks": ("check", set(CHECKS)),
    "opcodes": ("opcode", {op.name for op in OPCODES}),
    "bugs": ("bug", {"caller-frame", "fixup-after-word"}),
}


@pytest.mark.parametrize("what", LISTS)
def test_lists(what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))  # where other versions of targets are
    key, names = LISTS[what]
    rows = json.loads(invoke("list", what, "--json").output)
    found = {row[key] for row in rows}
    assert found >= names if what in ("bugs", "isas") else found == names
    header, *lines = invoke("list", what).output.splitlines()
    assert header.split()[0] == key
    assert [line.split()[0] for line in lines] == [row[key] for row in rows]


def test_every_listed_row_says_something() -> None:
    for what in ("checks", "opcodes", "bugs"):
        for row in json.loads(invoke("list", what, "--json").output):
            assert all(row.values()) or what == "opcodes", row


def test_doctor_is_well_here() -> None:
    result = invoke("doctor")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert all(line.startswith("ok  ") for line in lines)
    for word in ("Python", "unicorn", "keystone assembles", "capstone decodes", "target builtin",
                 "not a stale translation"):  # fmt: skip
        assert word in result.output


def test_doctor_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("fuzzer.targets.no_such_module", "None", "absent", "extra")
    monkeypatch.setitem(TARGETS, "optional", row)
    result = invoke("doctor")
    assert result.exit_code == 0
    assert "target optional is not here: " in result.output
    assert "pip install 'clifhanger[extra]'" in result.output
    monkeypatch.setitem(TARGETS, "needed", row._replace(extra=""))
    result = invoke("doctor")
    assert result.exit_code == 2
    assert "BAD  target needed" in result.output
    monkeypatch.setattr("fuzzer.execute.decode.decode", lambda isa, code, at=0: [])
    assert "BAD  capstone decodes" in invoke("doctor").output


def test_an_unavailable_target_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Row("fuzzer.targets.no_such_module", "None", "absent", "extra")
    monkeypatch.setitem(TARGETS, "optional", row)
    result = invoke("fuzz", "--target", "optional", "-n", "1")
    assert result.exit_code == 2
    assert result.stderr.splitlines() == [
        "clifhanger: --target: target optional needs fuzzer.targets.no_such_module: "
        "pip install 'clifhanger[extra]'"
    ]
    assert "not installed" in invoke("list", "targets").output
    with pytest.raises(targets.TargetUnavailable):
        target_named("optional")


def test_a_closed_pipe_is_no_finding(tmp_path: Path) -> None:
    process = start("list", "opcodes", folder=tmp_path)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    error = process.stderr.read()
    assert process.wait(20) == 141
    assert error == ""


def test_an_interrupted_command_is_no_finding(tmp_path: Path) -> None:
    process = start("selftest", "--time", "60s", folder=tmp_path)
    assert process.stdout is not None
    process.stdout.readline()  # one bug is through: it works on the next
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in error
