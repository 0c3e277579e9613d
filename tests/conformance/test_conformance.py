"""Our own filetests on the interpreter: every run line holds, and the files are canonical."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from backend.ir.filetest import parse_file, print_file
from backend.isa import ISA_NAMES
from fuzzer.filetests import EXECUTORS, interpreter, run_file
from fuzzer.reference.meanings import SUPPORTED

FILES = sorted(Path(__file__).parent.glob("*.clif"))

#: names of files of which the backend compiles nothing, by ISA
_NOT_COMPILED = {
    "aarch64": r"atomics|.*_f16_f128|windows_fastcall",
    "x86_64": r"atomics|.*_f16_f128|apple_aarch64",
}
#: outcomes that filetests have no syntax for, or nothing to show
_NOT_SHOWN = {"trap", "nop", "sequence_point"}


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_run_line_holds(path: Path) -> None:
    result = run_file(path, interpreter, "aarch64", "none")
    assert not result.errors
    assert not result.failures
    assert result.unsupported == 0
    assert result.passed == path.read_text().count("; run") > 0


@pytest.mark.parametrize("isa", ISA_NAMES)
@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_run_line_that_the_backend_compiles_holds(path: Path, isa: str) -> None:
    result = run_file(path, EXECUTORS["builtin"], isa, "none")
    assert not result.errors
    assert not result.failures
    assert bool(result.passed) is not bool(re.fullmatch(_NOT_COMPILED[isa], path.stem))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_the_files_are_canonical(path: Path) -> None:
    text = path.read_text()
    assert print_file(parse_file(text)) == text


def test_every_operation_with_a_meaning_is_covered() -> None:
    shown = {
        inst.op.name
        for path in FILES
        for entry in parse_file(path.read_text()).functions
        for inst in entry.function.instructions()
    }
    assert SUPPORTED - shown == _NOT_SHOWN
