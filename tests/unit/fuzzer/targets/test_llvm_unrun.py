"""ISAs that LLVM compiles for and nothing here runs: what comes is looked at, and nobody says that it was run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("llvmlite")

from click.testing import CliRunner
from elftools.elf.elffile import ELFFile

from backend.ir.parser import parse_function
from fuzzer.case import Case
from fuzzer.cli import cli
from fuzzer.corpus.entry import Entry, load_entry
from fuzzer.corpus.replay import replay
from fuzzer.execute.decode import DECODED, decode
from fuzzer.execute.machines import MACHINES
from fuzzer.generate.cases import CaseGenerator
from fuzzer.targets import target_named
from fuzzer.targets.elf import _left_behind, link
from fuzzer.targets.llvm import Llvm
from fuzzer.targets.target import CompileError
from fuzzer.trial import run_trial

UNRUN = [isa for isa in Llvm.isas if isa not in MACHINES]
SEED = Path(__file__).resolve().parents[4] / "corpus" / "seeds"

CALL = """function %f(i64, i128, f32) -> i128, i64, f64 {
    fn0 = %g(i64, i128) -> i128
block0(v0: i64, v1: i128, v2: f32):
    v3 = call fn0(v0, v1)
    v4 = fpromote.f64 v2
    return v3, v0, v4
}"""


@pytest.fixture(scope="module")
def llvm() -> Iterator[Llvm]:
    target = target_named("llvm")
    assert isinstance(target, Llvm)
    yield target
    target.server.stop()


def test_there_are_such_isas() -> None:
    assert {"ppc64le", "loongarch64"} <= set(UNRUN)


@pytest.mark.parametrize("isa", UNRUN)
def test_cases_are_compiled_looked_at_and_not_run(llvm: Llvm, isa: str) -> None:
    generator = CaseGenerator(llvm, isa)
    compiled = 0
    for seed in range(25):
        trial, found = run_trial(generator.from_seed(seed), llvm, thorough=True)
        assert not found, (seed, found)
        assert not trial.executed
        compiled += trial.code is not None
    assert compiled > 20


@pytest.mark.parametrize("isa", UNRUN)
def test_relocations_are_told_by_their_names(llvm: Llvm, isa: str) -> None:
    made = llvm.compile(Case(parse_function(CALL), [(1, 2, 3)], isa=isa))
    assert "%g" in {reloc.symbol for reloc in made.relocs}
    assert all(reloc.kind.startswith("R_") for reloc in made.relocs)
    assert made.stages["asm"]()


def test_a_relocation_that_has_no_name_is_a_failure(llvm: Llvm) -> None:
    case = Case(parse_function(CALL), [(1, 2, 3)], isa="ppc64le")
    asked: list[bytes] = []
    compile_object = llvm._object

    def kept(question: dict[str, str]) -> bytes:
        asked.append(compile_object(question))
        return asked[-1]

    llvm._object = kept  # type: ignore[method-assign]  # to have the object, which is not kept
    try:
        llvm.compile(case)
    finally:
        llvm._object = compile_object  # type: ignore[method-assign]  # as it was
    (obj,) = asked
    assert link(obj).relocs
    at = ELFFile(io.BytesIO(obj)).get_section_by_name(".rela.text")["sh_offset"] + 8
    for kind, what in ((0xEE, "relocation type 238"),):
        broken = obj[:at] + kind.to_bytes(4, "little") + obj[at + 4 :]
        with pytest.raises(CompileError, match=what):
            link(broken)
    beyond = obj[: at - 8] + (1 << 20).to_bytes(8, "little") + obj[at:]
    with pytest.raises(CompileError, match="a relocation at 1048576 of"):
        link(beyond)


def test_code_is_decoded_where_capstone_knows_it(llvm: Llvm) -> None:
    made = llvm.compile(Case(parse_function(CALL), [(1, 2, 3)], isa="ppc64le"))
    data = {at for start, end in made.data_ranges for at in range(start, end)}
    texts = [text for at, text in decode("ppc64le", made.code) if at not in data]
    assert "(bad)" not in texts
    assert "blr" in texts
    assert "loongarch64" not in DECODED
    assert decode("loongarch64", bytes.fromhex("2000004c")) == [(0, ".word 0x4c000020")]


def test_zeros_are_no_code_behind_a_branch_that_returns_to_nobody() -> None:
    words = ["48000010", "00000000", "4e800420", "00000000", "48000011", "00000000", "60000000"]
    code = b"".join(bytes.fromhex(word)[::-1] for word in words)
    assert _left_behind(code) == [(4, 8), (12, 16)]


def test_an_entry_about_runs_is_not_said_to_be_clean(llvm: Llvm) -> None:
    seed = load_entry(min(SEED.glob("*.clif")))
    assert replay(seed, llvm, "ppc64le").verdict == "unsupported"
    case = Case(parse_function(CALL), [(1, 2, 3)], isa="ppc64le")
    for check, verdict in (("result", "unsupported"), ("repeat", "fixed")):
        assert replay(Entry(case, check, "llvm", "0" * 12), llvm, "ppc64le").verdict == verdict


def test_the_commands_say_so(tmp_path: Path) -> None:
    file = tmp_path / "f.clif"
    file.write_text(f"{CALL.replace('fn0 = %g', 'fn0 = %f')}\n")
    ended = CliRunner().invoke(cli, ["test", "--on", "llvm", "--isa", "ppc64le", str(file)])
    assert ended.exit_code == 2
    assert ended.stderr == "clifhanger: --isa: nothing runs code for ppc64le\n"
    ended = CliRunner().invoke(
        cli,
        ["fuzz", "--target", "llvm", "--isa", "ppc64le", "-n", "1", "--second", "qemu"],
    )
    assert ended.exit_code == 2
    assert ended.stderr.startswith("clifhanger: --second qemu: not for ppc64le")
    ended = CliRunner().invoke(
        cli,
        ["fuzz", "--target", "llvm", "--isa", "ppc64le", "-n", "8", "-j", "1", "--no-ui",
         "--out", str(tmp_path / "out"), "--corpus", str(tmp_path / "corpus")],
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    assert "nothing runs code for ppc64le" in ended.stderr
    assert "8 functions" in ended.output
    assert " 0 runs" in ended.output
