"""A target for any program: how it is written, what it says of itself, and the examples as targets."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.ir.opcodes import opcode_named
from backend.ir.parser import parse_function
from backend.ir.types import I32, I64
from fuzzer.case import Case
from fuzzer.cli import cli
from fuzzer.corpus.entry import load_entry
from fuzzer.generate.cases import CaseGenerator
from fuzzer.targets import TargetUnavailable, target_named
from fuzzer.targets.program import Program
from fuzzer.trial import run_trial

ROOT = Path(__file__).parents[4]
TINY = ROOT / "examples/tiny_compiler.py"
HOSTILE = Path(__file__).with_name("hostile.py")
ADD = """function %f(i32 sext, i8) -> i64 sext {
block0(v0: i32, v1: i8):
    v2 = iconst.i64 -2
    v3 = iadd v2, v2
    return v3
}"""


def of(text: str) -> Program:
    made = target_named(f"process:{text}")
    assert isinstance(made, Program)
    return made


@pytest.fixture
def says(tmp_path: Path) -> Path:
    """A compiler that describes itself with what is in the file ``said`` beside it."""
    script = tmp_path / "compiler.py"
    script.write_text(
        "import pathlib, sys\n"
        "sys.stdin.buffer.read(12)\n"
        "data = pathlib.Path(__file__).with_name('said').read_bytes()\n"
        "sys.stdout.buffer.write(len(data).to_bytes(4, 'little') + data)\n"
        "sys.stdout.flush()\n"
        "sys.stdin.buffer.read()\n"
    )
    return script


GOOD = """ok
name good
version 2.5 beta
isa sparc64 x86_64
isa aarch64
option opt_level none speed
option checks on off
level none opt_level=none
level speed opt_level=speed checks=off
but fma udiv.i64
results 2
"""


def test_what_it_says_of_itself(says: Path) -> None:
    says.with_name("said").write_text(GOOD)
    made = of(f"{sys.executable} -S {says}")
    assert made.name == f"process:{sys.executable} -S {says}"
    assert made.version == "good 2.5 beta"
    assert made.isas == ("x86_64", "aarch64")
    options = {option.name: option.values for option in made.options}
    assert options == {"opt_level": ("none", "speed"), "checks": ("on", "off")}
    assert made.opt_levels["speed"] == {"opt_level": "speed", "checks": "off"}
    supported = {
        (name, str(type_)): made.supports("x86_64", opcode_named(name), type_, None)
        for name, type_ in (("fma", I64), ("udiv", I64), ("udiv", I32), ("iadd", I64))
    }
    assert [key for key, does in supported.items() if not does] == [("fma", "i64"), ("udiv", "i64")]
    assert made.fits_results("x86_64", [I64, I64])
    assert not made.fits_results("x86_64", [I64, I64, I64])


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("ok\n", "fine\n", "it begins with 'fine', not with 'ok'"),
        ("isa sparc64 x86_64\nisa aarch64", "isa sparc64", "no ISA that can be run here"),
        ("results 2", "results many", "the line 'results many' is none of a description"),
        ("but fma", "but fmma", "'fmma' is neither an opcode nor one at a type"),
        ("udiv.i64", "udiv.i65", "'udiv.i65' is neither"),
        ("checks=off", "checks=of", "'checks=of' is no option"),
        ("but fma", "only iadd\nbut fma", "both 'only' and 'but'"),
        ("but fma", "but iadd fma", "every function has iadd in it"),
        ("but fma", "only fma", "every function has iconst and iadd and return in it"),
    ],
)
def test_a_description_that_is_none(says: Path, old: str, new: str, error: str) -> None:
    assert old in GOOD
    says.with_name("said").write_text(GOOD.replace(old, new, 1))
    with pytest.raises(TargetUnavailable, match=re.escape(error)):
        of(f"{sys.executable} -S {says}")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "it is written process:PROGRAM [ARGUMENT ...]"),
        ("seconds=5", "no program; write process:./my-compiler"),
        ("FOO=1 cc", "no setting 'FOO', but seconds, memory, once, stderr"),
        ("seconds=never cc", "seconds=never: a number of seconds is wanted"),
        ("memory=8 cc", "memory=8: a size is wanted, 512m or 8g, or none"),
        ("once=1 cc", "once=1: yes or no is wanted"),
        ("stderr=( cc", "stderr=(: missing ), unterminated subpattern"),
        ("stderr=x* cc", "the pattern is in any text"),
        ("'cc", "No closing quotation"),
        ("./no-such-compiler", "./no-such-compiler: No such file or directory"),
        ("false", "false: ends before it has read a question"),
        ("cat", "cat: its description: it begins with 'describe'"),
        ("seconds=0.3 sleep 60", "sleep: asked to describe itself: no answer for 0.3 s"),
    ],
)
def test_what_can_not_be_used_is_one_line(text: str, error: str) -> None:
    result = CliRunner().invoke(cli, ["fuzz", "--target", f"process:{text}", "-n", "1"])
    assert result.exit_code == 2
    assert result.stderr.startswith("clifhanger: --target: ")
    assert result.stderr.count("\n") == 1
    assert error in result.stderr


def test_settings(says: Path) -> None:
    says.with_name("said").write_text(GOOD)
    made = of(
        f"seconds=2.5 memory=none once=yes 'stderr=Invalid (read|write)' {sys.executable} -S {says}"
    )
    assert (made.seconds, made.memory, made.once) == (2.5, None, True)
    assert made.alarm is not None
    assert made.alarm.search("==7== Invalid read of size 8")
    made.limit(seconds=60, memory=1 << 30)
    assert (made.server.seconds, made.server.memory) == (2.5, None)
    made.limit(seconds=3, memory=1 << 30)
    assert made.server.seconds == 1


def test_words_on_standard_error_make_an_answer_a_failure() -> None:
    script = "; ".join(
        [
            "import os, sys",
            "os.write(2, b'tiny.c:7:5: runtime error: shift by 99\\n')",
            f"exec(open({str(TINY)!r}).read())",
        ]
    )
    quiet = of(f"{sys.executable} -c {shlex.quote(script)}")
    loud = of(f"'stderr=runtime error' {sys.executable} -c {shlex.quote(script)}")
    case = Case(parse_function(ADD), [(1, 2)], isa="x86_64")
    assert run_trial(case, quiet)[1] == []
    _, (violation,) = run_trial(case, loud)
    assert (violation.check, violation.key) == (
        "crash",
        "says tiny.c:#:#: runtime error: shift by #",
    )


def compilers() -> list[object]:
    found: list[object] = [pytest.param(f"{sys.executable} {TINY}", id="python")]
    missing = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler")
    return [*found, pytest.param("", id="c", marks=missing)]


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example in C."""
    made = tmp_path_factory.mktemp("tiny") / "tiny"
    source = ROOT / "examples/tiny_compiler.c"
    subprocess.run(
        ["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "-O1", "-o", made, source], check=True
    )
    return made


@pytest.mark.parametrize("command", compilers())
def test_the_examples_compile_rightly_what_they_say_they_do(
    command: str, request: pytest.FixtureRequest
) -> None:
    made = of(command or str(request.getfixturevalue("built")))
    generator = CaseGenerator(made, "x86_64")
    runs = 0
    for seed in range(120):
        trial, found = run_trial(generator.from_seed(seed), made, thorough=seed % 8 == 0)
        assert found == []
        assert not trial.unsupported
        runs += trial.executed
    assert runs > 1000
    case = Case(parse_function(ADD), [(1, 2)], isa="x86_64")
    assert run_trial(case, made, thorough=True)[1] == []
    other = parse_function(ADD.replace("iadd", "imul"))
    assert run_trial(Case(other, [(1, 2)], isa="x86_64"), made)[0].unsupported == "imul"


def test_an_entry_finds_its_target_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest function that crashes it, under a file name that a shell takes."""
    monkeypatch.chdir(tmp_path)
    target = f"process:{sys.executable} -S {HOSTILE} abort iadd"
    words = [
        "--isa",
        "x86_64",
        "-n",
        "40",
        "--seed",
        "5",
        "--corpus",
        "c",
        "--out",
        "o",
        "--max-findings",
        "1",
    ]
    result = CliRunner().invoke(cli, ["fuzz", "--target", target, *words])
    assert result.exit_code == 1, result.output
    (path,) = tmp_path.glob("c/crash/*.clif")
    assert re.fullmatch(
        r"crash-process_python[\w.]*_-S_hostile.py_abort_iadd-x86_64-[0-9a-f]{12}\.clif", path.name
    )
    assert "SIGABRT while compiling: hostile: lower.c:117" in path.read_text()
    assert load_entry(path).case.instruction_count() == 3
    replayed = CliRunner().invoke(cli, ["replay", str(path)])
    assert replayed.exit_code == 1
    assert "still failing" in replayed.stdout


GCCJIT = ROOT / "examples/gccjit_compiler.py"


def test_a_real_compiler_compiles_rightly_through_its_example() -> None:
    try:
        ctypes.CDLL(os.environ.get("LIBGCCJIT", "libgccjit.so.0"))
    except OSError as error:
        pytest.skip(f"no libgccjit: {error}")
    if not shutil.which("as") or not shutil.which("objcopy"):
        pytest.skip("no assembler, or no objcopy")
    made = of(
        f"env LIBGCCJIT={os.environ.get('LIBGCCJIT', 'libgccjit.so.0')} {sys.executable} {GCCJIT}"
    )
    generator = CaseGenerator(made, "x86_64")
    runs, refused = 0, set()
    for seed in range(40):
        trial, found = run_trial(generator.from_seed(seed), made)
        assert found == []
        runs += trial.executed
        refused.add(trial.unsupported.partition(" ")[0])
    assert runs > 250
    assert refused <= {"", "signature"}
    swap = """function %f(i64, i64, i8) -> i64 {
    block0(v0: i64, v1: i64, v2: i8):
        jump block1(v0, v1, v2)
    block1(v3: i64, v4: i64, v5: i8):
        v6 = iconst.i8 1
        v7 = isub v5, v6
        brif v5, block1(v4, v3, v7), block2
    block2:
        v8 = isub v3, v4
        return v8
    }
    """
    case = Case(parse_function(swap), [(7, 3, 0), (7, 3, 1), (7, 3, 6)], isa="x86_64")
    for level in (0, 2):
        case.options = {"opt_level": str(level)}
        trial, found = run_trial(case, made, thorough=True)
        assert (found, trial.executed) == ([], 3)


WASMTIME = ROOT / "examples/wasmtime_compiler.py"


@pytest.mark.parametrize("strategy", ["cranelift", "winch"])
def test_wasmtime_compiles_rightly_through_its_example(strategy: str) -> None:
    pytest.importorskip("wasmtime")
    pytest.importorskip("elftools")
    made = of(f"{sys.executable} {WASMTIME}")
    generator = CaseGenerator(made, "x86_64")
    runs = 0
    for seed in range(40):
        case = generator.from_seed(seed)
        case.options["strategy"] = strategy
        trial, found = run_trial(case, made)
        assert found == []
        runs += trial.executed
    assert runs > 150
    assert len(WASMTIME.read_text().splitlines()) < 150
