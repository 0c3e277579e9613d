"""Other versions of LLVM: named, built and found in the user's cache, compared by ``bisect``.

A version here is the installed llvmlite behind a program that stands for an environment's Python; one of them runs a
server that subtracts where it should add. Versions that are built on this machine are tried as they are.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

pytest.importorskip("llvmlite")

from backend.ir.parser import parse_function
from fuzzer.case import Case
from fuzzer.cli import cli
from fuzzer.corpus.entry import Entry, print_entry
from fuzzer.reference.evaluate import outcomes_of
from fuzzer.targets import TargetUnavailable, family, is_known, llvm_versions, target_named
from fuzzer.targets.llvm import SERVER
from fuzzer.trial import run_trial

SUM = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = iadd v0, v1
    return v2
}"""
#: what differed between LLVM 14 and today's: pointers, intrinsics' names, the pass managers
MANY = """function %f(i64 vmctx, f64, i64, i128) -> f64, i64, i128 {
    ss0 = explicit_slot 16
    fn0 = %g(i64, i64) -> i64 tail
    fn1 = %h(f64) -> f64
block0(v0: i64, v1: f64, v2: i64, v3: i128):
    v4 = load.i64 v0+8
    v5 = stack_addr.i64 ss0
    store v4, v5
    v6 = load.i64 v5
    v7 = call fn0(v6, v2)
    v8 = udiv v7, v2
    v9 = fcvt_from_uint.f64 v8
    v10 = call fn1(v9)
    v11 = fmax v10, v1
    v12 = rotl v7, v2
    v13 = iadd v3, v3
    return v11, v12, v13
}
function %g(i64, i64) -> i64 tail {
block0(v0: i64, v1: i64):
    v2 = bswap v0
    v3 = uadd_overflow_trap v2, v1, user7
    return v3
}"""
BUILT = llvm_versions.built()


def invoke(*args: str) -> Result:
    result = CliRunner().invoke(cli, list(args))
    assert result.exception is None or isinstance(result.exception, SystemExit)
    assert "Traceback" not in result.output
    return result


def install(cache: Path, version: str, server: Path = SERVER) -> None:
    """A version in ``cache`` that is the installed one, with another server."""
    python = cache / "clifhanger" / "llvmlite" / version / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -P "{server}"\n')
    python.chmod(0o755)
    (python.parent.parent / "complete").touch()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def entry(tmp_path: Path) -> Path:
    case = Case(parse_function(SUM), [(7, 5)], isa="x86_64", options={"opt_level": 0})
    found = Entry(case, "result", "llvm", "0123456789ab")
    path = tmp_path / "entry.clif"
    path.write_text(print_entry(found, outcomes_of(case)))
    return path


@pytest.fixture
def subtracting(tmp_path: Path) -> Path:
    server = tmp_path / "subtracting.py"
    text = SERVER.read_text()
    edited = text.replace(
        "binding.parse_assembly(text)", "binding.parse_assembly(text.replace('add ', 'sub '))"
    )
    assert edited != text
    server.write_text(edited)
    return server


def test_a_version_is_a_target(cache: Path) -> None:
    install(cache, "0.50")
    target = target_named("llvm@0.50")
    assert target.name == "llvm@0.50"
    assert target.version == target_named("llvm").version
    case = Case(parse_function(SUM), [(1, 2)], isa="aarch64", options={"isel": "global"})
    assert target.compile(case).code == target_named("llvm").compile(case).code


def test_versions_are_in_order_and_complete(cache: Path) -> None:
    for version in ("0.9", "0.44", "0.100", "0.44.1"):
        install(cache, version)
    install(cache, "0.45")
    (cache / "clifhanger" / "llvmlite" / "0.45" / "complete").unlink()
    assert llvm_versions.built() == ["0.9", "0.44", "0.44.1", "0.100"]


def test_versions_that_are_here_are_listed(cache: Path) -> None:
    for version in ("0.9", "0.44"):
        install(cache, version)
    lines = invoke("list", "targets").output.splitlines()
    named = [line.split()[0] for line in lines if line.startswith("llvm")]
    assert named == ["llvm", "llvm@0.9", "llvm@0.44"]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("llvm@0.44", "is not built; `clifhanger doctor --build llvm@0.44` builds it"),
        ("llvm@", "no version"),
        ("llvm@new", "no version"),
        ("llvm@0.44/../..", "no version"),
        ("llvm@0.39", "too old"),
        ("builtin@0.1", "no target"),
        ("@0.44", "no target"),
    ],
)
def test_what_is_no_version_is_said(cache: Path, name: str, why: str) -> None:
    with pytest.raises(TargetUnavailable, match=why):
        target_named(name)
    failed = invoke("fuzz", "--target", name, "-n", "1")
    assert (failed.exit_code, failed.output.count("\n")) == (2, 1)


def test_families() -> None:
    assert family("llvm@0.44") == family("llvm") == "llvm"
    assert family("process:./a@1") == "process:./a@1"
    assert is_known("llvm@0.44")
    assert is_known("process:./x")
    assert not is_known("zcc@1")


def test_bisect_says_between_which_it_vanished(cache: Path, entry: Path, subtracting: Path) -> None:
    install(cache, "0.40", subtracting)
    install(cache, "0.44")
    done = invoke("bisect", str(entry))
    lines = done.output.splitlines()
    assert [line.split()[0] for line in lines] == ["llvm@0.40", "llvm@0.44", "llvm", "clifhanger:"]
    assert "  fails  " in lines[0]
    assert "result 0: expected 0xc, got 0x2" in lines[0]
    assert [line.endswith("  works") for line in lines[1:3]] == [True, True]
    assert lines[3].startswith("clifhanger: vanished between LLVM ")
    assert done.exit_code == 1
    alone = invoke("bisect", str(entry), "--versions", "0.44")
    assert (alone.exit_code, len(alone.output.splitlines())) == (0, 1)
    both = invoke("bisect", str(entry), "--versions", "0.44,0.40", "--target", "llvm")
    assert both.output.splitlines()[-1].startswith("clifhanger: appeared between LLVM ")


def test_bisect_keeps_the_entry_s_options(cache: Path, entry: Path) -> None:
    """They are those of all versions."""
    install(cache, "0.40")
    entry.write_text(
        entry.read_text().replace("opt_level = 0", "opt_level = 0\n; option.isel = 'wrong'")
    )
    failed = invoke("bisect", str(entry))
    assert failed.exit_code == 2
    assert "option isel of llvm@0.40 can't be 'wrong'" in failed.output


def test_bisect_without_versions(cache: Path, entry: Path, tmp_path: Path) -> None:
    failed = invoke("bisect", str(entry))
    assert (failed.exit_code, failed.output.count("\n")) == (2, 1)
    assert "doctor --build llvm@VERSION" in failed.output
    failed = invoke("bisect", str(entry), "--versions", "0.44")
    assert (failed.exit_code, failed.output.count("\n")) == (2, 1)
    failed = invoke("bisect", str(entry), "--target", "builtin")
    assert (failed.exit_code, failed.output.count("\n")) == (2, 1)
    assert "builtin has no versions to compare; llvm has" in failed.output
    assert invoke("bisect", str(tmp_path / "none.clif")).exit_code == 2


def test_a_build_that_fails_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(cache))
    failed = invoke("doctor", "--build", "llvm@0.999")
    assert failed.exit_code == 2
    assert "llvmlite==0.999" in failed.output.splitlines()[-1]
    assert llvm_versions.built() == []
    assert not (cache / "clifhanger" / "llvmlite" / "0.999").exists()


@pytest.mark.parametrize("name", ["llvm", "llvm@x", "builtin@1", "llvm@0.1"])
def test_a_build_of_what_can_t_be_built(cache: Path, name: str) -> None:
    failed = invoke("doctor", "--build", name)
    assert (failed.exit_code, failed.output.count("\n")) == (2, 1)
    assert not cache.exists() or not os.listdir(cache)


def test_one_that_is_built_is_left_alone(cache: Path) -> None:
    install(cache, "0.50")
    done = invoke("doctor", "--build", "llvm@0.50")
    assert done.exit_code == 0
    assert "ok   target llvm@0.50: LLVM" in done.output


@pytest.mark.skipif(
    not BUILT, reason="no other version is built: clifhanger doctor --build llvm@0.44"
)
@pytest.mark.parametrize("isa", ["aarch64", "x86_64"])
@pytest.mark.parametrize("version", BUILT)
def test_every_version_understands_the_translation(version: str, isa: str) -> None:
    target = target_named(f"llvm@{version}")
    first, second = (parse_function(text + "\n}") for text in MANY.split("\n}")[:2])
    case = Case(
        first, [(0x2000_0000, 0, 3, 1 << 127)], isa=isa, memory=bytes(1024), others=[second]
    )
    for options in target.opt_levels.values():
        for isel in ("default", "fast", "global"):
            case.options = {**options, "isel": isel}
            assert run_trial(case, target)[1] == []
