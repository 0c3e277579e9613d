"""A corpus in which somebody has put everything: each is refused by itself in a line that a terminal survives, the
others run, and nothing hangs.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from fuzzer.cli import cli

ROOT = Path(__file__).parents[4]
FUNCTION = (
    "function %f() -> i8 {\nblock0:\n    v0 = iconst.i8 1\n    return v0\n}\n; run: %f() == 1\n"
)
HEAD = {"schema": "1", "check": '"result"', "signature": '"0123456789ab"', "status": '"fixed"',
        "target": '"builtin"', "isa": '"aarch64"', "inputs": "[[]]"}  # fmt: skip
ESCAPES = r"\u001b]0;owned\u0007\u001b[2J\u009b31m\r\n::error::gotcha\u202e"


def entry(function: str = FUNCTION, extra: str = "", **fields: str) -> bytes:
    lines = [f"; {name} = {value}\n" for name, value in (HEAD | fields).items()]
    return f"; /// clifhanger\n{''.join(lines)}{extra}; ///\n{function}".encode()


LOOP = """function %f(i64) -> i64 {
block0(v0: i64):
    jump block1(v0)
block1(v1: i64):
    v2 = iadd v1, v1
    jump block1(v2)
}
"""
SLOT = """function %f() -> i64 {
    ss0 = explicit_slot 4294967295
block0:
    v0 = stack_load.i64 ss0
    return v0
}
"""
#: what is in a file that is no entry, and what is said of it
BAD: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the first line is not"),
    "zeros": (bytes(5000), "the first line is not"),
    "header only": (b"; /// clifhanger\n", "not closed"),
    "cut off": (entry()[:150], ""),
    "cut in the function": (entry()[:-40], ""),
    "not utf-8": (entry() + b"\xff\xfe", "not UTF-8"),
    "huge": (entry() + b"; x\n" * 600_000, "larger than 1048576 bytes"),
    "long key": (entry(extra=f"; {'k' * 100_000} = 1\n"), "more than 65536 bytes"),
    "long line": (entry(extra=f"; x = \"{'k' * 60_000}\n"), "metadata: "),
    "deep list": (entry(extra=f"; x = {'[' * 60_000}\n"), "metadata: "),
    "deep table": (entry(extra=f"; x = {'{a=' * 15_000}\n"), "metadata: "),
    "deep key": (entry(extra=f"; {'a.' * 30_000}b = 1\n"), "full stops"),
    "deep keys": (entry(extra=f"; x = {{{'a.' * 30_000}b = 1}}\n"), "full stops"),
    "long number": (entry(extra=f"; x = {'9' * 50_000}\n"), "metadata: "),
    "long date": (entry(extra="; x = 9999-99-99T99:99:99\n"), "metadata: "),
    "long input": (entry(inputs=f"[[\"{'f' * 50_000}\"]]"), "does not fit"),
    "twice": (entry(extra="; schema = 1\n"), "metadata: "),
    "schema": (entry(schema="2"), "schema 2"),
    "escapes in the schema": (entry(schema=f'"{ESCAPES}"'), "schema "),
    "escapes in the status": (entry(status=f'"{ESCAPES}"'), "status "),
    "escapes in the target": (entry(target=f'"{ESCAPES}"'), "no target "),
    "escapes in the isa": (entry(isa=f'"{ESCAPES}"'), "has no ISA "),
    "escapes in an option": (entry(extra=f'; "option"."{ESCAPES}" = 1\n'), "has no option "),
    "escapes in the function": (entry("function %f() {\n\x1b[31mblock0:\n"), ""),
    "no such check's memory": (entry(memory_size="1024", memory='"zz"'), "hex digits"),
    "memory": (entry(memory_size="1000000000000"), "memory_size"),
    "many inputs": (entry(LOOP, inputs="[" + '["0x1"], ' * 5_000 + "]"), "more than 1024 inputs"),
    "types": (entry(inputs="[[1.5]]"), "inputs"),
    "deep function": (entry("function %f() -> i8 {\nblock0:\n    v0 = " + "(" * 200_000), ""),
    "many blocks": (entry("function %f() {\n" + "block0:\n" * 10_000), ""),
    "a stack without end": (entry(SLOT), "stack slots of 4294967295 bytes"),
}  # fmt: skip
#: what may be tried, and has to end
ODD: dict[str, bytes] = {
    "endless loop": entry(LOOP, inputs='[["0x1"]]'),
    "endless loops": entry(LOOP, inputs="[" + '["0x1"], ' * 200 + "]"),
    "escapes everywhere": entry(
        status='"open"', check=f'"{ESCAPES}"', signature=f'"{ESCAPES}"', extra=f'; observed = "{ESCAPES}"\n'
        f'; key = "{ESCAPES}"\n; note = "{ESCAPES}"\n; seed = "{ESCAPES}"\n; versions = "{ESCAPES}"\n'
        f'; expected = ["{ESCAPES}"]\n; plant = ""\n',
    ),
    "paths for names": entry(signature='"../../../../escaped"', check='"../../x"', kind='"../.."',
                             expected='["returned 0x2"]'),
    "a path for a signature": entry(signature='"../../../escaped"', expected='["returned 0x2"]'),
}  # fmt: skip


def _links(folder: Path) -> None:
    os.mkfifo(folder / "fifo.clif")
    os.symlink("loop.clif", folder / "loop.clif")
    os.symlink("nowhere", folder / "nowhere.clif")
    os.symlink("/dev/zero", folder / "device.clif")
    os.symlink("fifo.clif", folder / "tofifo.clif")
    os.symlink(".", folder / "around")
    (folder / "folder.clif").mkdir()
    (folder / "folder.clif" / "inside.clif").write_bytes(entry())


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number, (data, _) in enumerate(BAD.values()):
        (folder / f"bad{number}.clif").write_bytes(data)
    (folder / "good.clif").write_bytes(entry())
    (folder / "\x1b[31m\n::error::name.clif").write_bytes(entry())
    (folder / os.fsdecode(b"\xff\xfe.clif")).write_bytes(entry())
    _links(folder)
    return folder


def invoke(*args: object) -> Result:
    started = time.monotonic()
    result = CliRunner().invoke(cli, [str(arg) for arg in args])
    assert isinstance(result.exception, SystemExit | None), repr(result.exception)
    assert time.monotonic() - started < 50
    calm(result.output)
    return result


def calm(text: str) -> None:
    """Nothing that a terminal or a log would obey."""
    assert "Traceback" not in text
    for line in text.split("\n"):
        assert line.isprintable(), repr(line)
        assert not line.startswith("::"), line
        assert len(line) < 2000, line[:200]


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_entry_is_one_line(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    data, words = BAD[name]
    Path("x.clif").write_bytes(data)
    for command in ("replay", "explain", "shrink"):
        result = invoke(command, "x.clif")
        assert result.exit_code == 2, result.output
        (line,) = result.output.splitlines() or [""]
        assert words in line
        assert "x.clif" in line
    for command in ("check", "fmt"):
        assert invoke(command, "x.clif").exit_code in (0, 2)
    assert invoke("triage", "x.clif").exit_code == 0


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_ends(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    work = tmp_path / "a" / "b" / "c" / "d"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    Path("x.clif").write_bytes(ODD[name])
    for command in ("replay", "explain", "check", "fmt"):
        invoke(command, "x.clif")
    Path("x.clif").write_bytes(ODD[name])
    invoke("triage", "x.clif", "--merge", "merged", "--drafts", "drafts")
    assert not list(Path().glob("merged/*/*.clif")) or name.startswith("endless")
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and work not in path.parents]
    assert outside == [], "written outside of the folder that was named"


def test_the_others_run(corpus: Path) -> None:
    before = {path: path.read_bytes() for path in corpus.glob("bad*.clif")}
    result = invoke("replay", "corpus")
    assert result.exit_code == 2
    assert result.output.splitlines()[-1] == (
        f"clifhanger: 4 replayed, 0 failing, {len(BAD)} unreadable"
    )
    assert "fixed          corpus/good.clif" in result.output.splitlines()
    assert "fixed          corpus/folder.clif/inside.clif" in result.output.splitlines()
    named = {line.split(":")[1].strip() for line in result.stderr.splitlines()}
    assert {str(path.relative_to(corpus.parent)) for path in before} <= named
    digest = invoke("triage", "corpus")
    assert digest.exit_code == 0
    assert invoke("check", "corpus").exit_code == 2
    assert invoke("fmt", "--check", "corpus").exit_code == 2
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("command", ["replay", "explain", "shrink", "check", "fmt", "triage"])
def test_what_is_no_file_is_refused_at_once(corpus: Path, command: str) -> None:
    for name in ("fifo", "tofifo", "device", "loop", "nowhere"):
        result = invoke(command, f"corpus/{name}.clif")
        assert result.exit_code == 2 or (command, result.exit_code) == ("triage", 0)
        assert f"{name}.clif" in result.output


def test_pytest_runs_the_others(corpus: Path) -> None:
    (corpus / "around").unlink()  # pytest itself goes forty times around
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "fuzzer.pytest_plugin", "-p", "no:cacheprovider", "-q",
         "-o", "addopts=", "corpus"],
        cwd=corpus.parent, env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout
    ours = sum(data.startswith(b"; /// clifhanger") for data, _ in BAD.values())
    assert f"{ours} failed, 4 passed" in done.stdout.splitlines()[-1]
