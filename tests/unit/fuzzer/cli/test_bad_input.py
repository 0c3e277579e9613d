"""A user's mistake is one line on stderr that says what to do, and exit status 2; nothing is lost by it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fuzzer.cli import cli

GOOD = "function %f() -> i8 {\nblock0:\n    v0 = iconst.i8 1\n    return v0\n}\n"
ENTRY = (
    """; /// clifhanger
; schema = 1
; check = "result"
; signature = "0123456789ab"
; target = "builtin"
; isa = "aarch64"
; inputs = [[]]
; ///
"""
    + GOOD
)


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def refused(*args: str, lines: int = 1) -> str:
    """The one line that the command ends with."""
    result: Result = CliRunner().invoke(cli, list(args))
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code == 2
    assert "Traceback" not in result.output
    assert result.stdout == ""
    said = [line for line in result.stderr.splitlines() if not line.startswith(("Usage:", "Try "))]
    said = [line for line in said if line]
    assert len(said) == lines, said
    return said[0]


FILES = {
    "syntax": (b"function %f() {\nblock0:\n  v0 = iadd v9, v9\n}\n", "f.clif:3:13: v9 is not defined"),
    "types": (b"function %f(i8, i16) -> i8 {\nblock0(v0: i8, v1: i16):\n  v2 = iadd v0, v1\n  return v2\n}\n",
              "f.clif:3:3: "),
    "undominated": (b"function %f(i8) -> i8 {\nblock0(v0: i8):\n  brif v0, block1, block2\nblock1:\n"
                    b"  v1 = iconst.i8 1\n  jump block2\nblock2:\n  return v1\n}\n", "f.clif:8:3: "),
    "no end": (b"function %f() {\nblock0:\n  nop\n}\n", "f.clif:"),
    "large": (b"; " + b"x" * (2 << 20), "f.clif: larger than 1048576 bytes"),
    "deep": (b"function %f() {\nblock0:\n  v0 = " + b"(" * 500_000, "f.clif:3:8: "),
    "many blocks": (b"function %f() {\n" + b"block0:\n" * 100_000, "f.clif:100002:1: "),
    "junk": (bytes(range(256)) * 64, "f.clif:"),
    "escapes": (b"function %f() {\n\x1b[31mblock0:\n", "f.clif:2:1: "),
    "empty": (b"", "f.clif: no function in it"),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_no_function(name: str) -> None:
    data, message = FILES[name]
    Path("f.clif").write_bytes(data)
    line = refused("compile", "f.clif")
    assert line.startswith(f"clifhanger: {message}")
    assert "\x1b" not in line
    assert len(line) < 300
    assert Path("f.clif").read_bytes() == data


HEADERS = {
    "no header": (GOOD, "1:1: no entry"),
    "schema": (ENTRY.replace("schema = 1", "schema = 99"), "schema 99"),
    "not toml": (ENTRY.replace("schema = 1", "schema = ["), "metadata: "),
    "not closed": (ENTRY.replace("; ///\n", "", 1).replace("; ///\n", ""), "not closed"),
    "no inputs": (ENTRY.replace("[[]]", "[]"), "no inputs"),
    "other inputs": (ENTRY.replace("[[]]", '[["0x1"]]'), "does not fit the signature"),
    "no target": (ENTRY.replace('target = "builtin"\n', 'targets = ""\n'), "target must be a string"),
    "long key": (ENTRY.replace("; schema", f"; {'k' * 100_000} = 1\n; schema"), "metadata block of more than"),
    "two functions of one name": (ENTRY + GOOD, "two functions of one name"),
    "broken function": (ENTRY.replace("return v0", "return v7"), "v7 is not defined"),
}  # fmt: skip


@pytest.mark.parametrize("name", HEADERS)
def test_an_entry_that_is_none(name: str) -> None:
    text, message = HEADERS[name]
    Path("f.clif").write_text(text)
    line = refused("shrink", "f.clif")
    assert line.startswith("clifhanger: f.clif:")
    assert message in line
    assert Path("f.clif").read_text() == text
    assert message in refused("replay", "f.clif")


MISFITS = {
    "unknown target": (("builtin", "zcc"), "no target 'zcc'"),
    "unknown isa": (("aarch64", "vax"), "builtin has no ISA 'vax'; it has aarch64"),
    "unknown bug": (('; isa', '; plant = "no-such-bug"\n; isa'), "no bug 'no-such-bug' to plant"),
    "unknown option": (("; isa", "; option.speed = 1\n; isa"), "builtin has no option 'speed'"),
    "option's value": (("; isa", '; option.registers = "x"\n; isa'), "option registers of builtin can't be 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("command", ["shrink", "replay"])
@pytest.mark.parametrize("name", MISFITS)
def test_an_entry_for_something_else(name: str, command: str) -> None:
    (old, new), message = MISFITS[name]
    Path("f.clif").write_text(ENTRY.replace(old, new))
    assert message in refused(command, "--planted", "f.clif")


@pytest.mark.parametrize("command", ["compile", "shrink", "replay"])
def test_what_is_no_file(command: str) -> None:
    assert refused(command, "missing.clif").startswith("clifhanger: missing.clif: ")
    Path("folder.clif").mkdir()
    assert "folder.clif: " in refused(command, "folder.clif")
    os.mkfifo("fifo.clif")
    assert refused(command, "fifo.clif") == "clifhanger: fifo.clif: not a regular file"
    os.symlink("loop.clif", "loop.clif")
    assert "loop.clif: " in refused(command, "loop.clif")
    name = "x" * 300
    assert "File name too long" in refused(command, name)


OPTIONS = {
    "unknown command": (("fuzzz",), "No such command 'fuzzz'"),
    "unknown option": (("fuzz", "--frob"), "No such option"),
    "target": (("fuzz", "--target", "zcc"),
        "--target: no target 'zcc'; there are builtin, c, cranelift, cranelift-py, llvm, process"),
    "isa": (("fuzz", "--isa", "vax"), "--isa: builtin has no ISA 'vax'; it has aarch64"),
    "one isa of two": (("fuzz", "--isa", "aarch64,vax"), "no ISA 'vax'"),
    "time": (("fuzz", "--time", "soon"), "'soon' is no duration; write 90, 60s, 10m or 2h"),
    "no time": (("fuzz", "--time", "0s"), "is no duration"),
    "endless time": (("fuzz", "--time", "9" * 40), "is no duration"),
    "functions": (("fuzz", "-n", "0"), "'-n'"),
    "workers": (("fuzz", "-j", "0"), "-j: '0' is no number of workers; write 1 to 256, or auto"),
    "many workers": (("fuzz", "-j", "257"), "-j: '257'"),
    "superscript workers": (("fuzz", "-j", "²"), "-j: '²'"),
    "worded workers": (("fuzz", "-j", "all"), "-j: 'all'"),
    "shard": (("fuzz", "--shard", "3/2"), "'3/2' is no shard; write K/N with K from 1 to N"),
    "shard zero": (("fuzz", "--shard", "0/2"), "is no shard"),
    "shard alone": (("fuzz", "--shard", "2"), "is no shard"),
    "huge shard": (("fuzz", "--shard", "1/" + "9" * 40), "is no shard"),
    "seed": (("fuzz", "--seed", "xyz"), "'xyz' is no seed; write a number, decimal or 0x hex"),
    "opt": (("fuzz", "--opt", "speed=1"), "--opt: 'speed=1'; builtin takes opt_level=none, registers=0"),
    "opt of another isa": (("fuzz", "--isa", "aarch64", "--opt", "has_popcnt=yes"), "--opt: 'has_popcnt=yes'"),
    "opt without value": (("fuzz", "--opt", "registers"), "--opt: 'registers'"),
    "opt's value": (("fuzz", "--opt", "registers=few"), "--opt: registers takes 0, 3, 4, 6, 10, not 'few'"),
    "plant": (("fuzz", "--plant", "no-such-bug"), "--plant: no bug 'no-such-bug'"),
    "plant elsewhere": (("fuzz", "--target", "llvm", "--plant", "caller-frame"), "--plant: "),
    "memory": (("fuzz", "--mem", "lots"), "'lots' is no size; write 512m or 2g"),
    "little memory": (("fuzz", "--mem", "1m"), "--mem: a worker needs 256m at least"),
    "little time": (("fuzz", "--timeout", "1ms"), "--timeout: a case needs 0.1s at least"),
    "findings": (("fuzz", "--max-findings", "0"), "'--max-findings'"),
    "compile isa": (("compile", "good.clif", "--isa", "vax"), "no ISA 'vax'"),
    "compile stage": (("compile", "good.clif", "--emit", "soup"),
                      "--emit: builtin prints clif, vcode, alloc, asm, bytes"),
    "compile opt": (("compile", "good.clif", "--opt", "x=1"), "--opt: 'x=1'"),
    "compile target": (("compile", "good.clif", "--target", "zcc"), "no target 'zcc'"),
    "list": (("list", "everything"), "'everything' is not one of"),
    "replay target": (("replay", "good.clif", "--target", "zcc"), "no target 'zcc'"),
    "replay nothing": (("replay", "."), ".: no .clif file in it"),
    "selftest": (("selftest", "--bug", "no-such-bug"), "--bug: no bug 'no-such-bug'"),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_an_option_that_is_none(name: str) -> None:
    args, message = OPTIONS[name]
    if name == "plant elsewhere":
        pytest.importorskip("llvmlite")
    if name != "replay nothing":
        Path("good.clif").write_text(GOOD)
    line = refused(*args)
    assert message in line
    assert len(line) < 400
    assert not Path(".clifhanger").exists()


@pytest.mark.parametrize("option", ["--out", "--corpus"])
def test_a_folder_that_cannot_be_written(option: str) -> None:
    Path("file").write_text("kept")
    for name in ("file/below", "file"):
        line = refused("fuzz", "-n", "1", option, name)
        assert line.startswith(f"clifhanger: {name}: can't be written: ")
    assert Path("file").read_text() == "kept"
