"""Explanations of entries whose bug is known: the first wrong value, its place, and the stage named."""

from __future__ import annotations

import os
import random
import time
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from backend.ir.parser import parse_function
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case
from fuzzer.checks.reassembly import assemble
from fuzzer.corpus.entry import Entry, load_entry
from fuzzer.execute.machines import MACHINES
from fuzzer.explain.explain import GAVE_UP, explain
from fuzzer.explain.model import Explanation
from fuzzer.explain.tracer import REGISTERS
from fuzzer.selftest.bugs import BUGS
from fuzzer.targets import target_named
from fuzzer.targets.builtin import Builtin

CORPUS = Path(__file__).resolve().parents[4] / "corpus"
SECONDS = 3.0
SAMPLE = 10


@cache
def planted_entries() -> dict[str, Entry]:
    """The corpus's entries by the bug they were found with."""
    entries = (load_entry(path) for path in sorted(CORPUS.glob("*/*.clif")))
    return {entry.plant: entry for entry in entries if entry.plant}


class Known(NamedTuple):
    """``value``, ``where``, ``expected``, ``offset``: of the divergence; ``line``: the CLIF line marked."""

    plant: str
    value: str
    where: str
    expected: str
    offset: int
    line: str
    culprit: str


_BEHIND = "behind the allocation, which passes its checker"
_MOVES = f"what moves values between instructions: moves, spills, reloads, {_BEHIND}"
_FRAME = "the prologue, the epilogue or the frame's layout"

KNOWN = {
    "lowering": (
        Known("select-swapped", "v2", "x0", "0x2", 0x14, "v2 = select v0, v0, v1",
              "lowering rule select_or_zero (row csel.w; gone without it)"),
        Known("immediate-truncated", "v1", "x0", "0xe000", 0xC, "v1 = iadd v0, v0",
              "lowering rule iadd_imm (row add_ri.w; gone without it)"),
        Known("bit-reverse-dropped", "v1", "x0", "0x80000000", 0x8, "v1 = bitrev v0",
              "lowering rule bitrev or the emission of it (the rule can't be left out)"),
        Known("store-of-low-zero", "", "memory", "00 01 at 0x20000000", 0x8, "istore16 v1, v0",
              "lowering rule store_zero (row strh_ui; gone without it)"),
        Known("dead-trap-dropped", "", "", "trap", 0x4, "v1 = sdiv v0, v0",
              "lowering: an instruction that traps was dropped"),
    ),
    "registers": (
        Known("spill-store-narrow", "v2", "x0", "0x0", 0x2C, "return v2",
              f"{_MOVES} (gone with registers=0, homes=float, homes=mixed)"),
        Known("reload-from-wrong-slot", "v0", "x0", "0x0", 0x38, "return v0, v0, v0, v0, v0, v0, v0",
              f"{_MOVES} (gone with registers=0)"),
        Known("operand-not-rewritten", "v1", "x1", "0x0", 0xC, "v1 = iadd v0, v0",
              "emission: add_ri.w has other registers than it was allocated (gone with registers=3)"),
        Known("argument-not-stored", "v0", "x0", "0x0", 0x3C, "v11 = iadd.i32 v0, v3",
              "register allocation: its symbolic checker refuses it "
              "(gone with registers=0, homes=float, homes=mixed)"),
    ),
    "branches": (
        Known("condition-not-inverted", "", "", "block2", 0x10, "brif v0, block1, block2",
              "the branch: lowering rule nz_narrow or brif, row b_cond or the emission of it "
              "(the rules can't be left out) (gone with pad=33000)"),
        Known("block-arguments-reversed", "v4", "x0", "0x1", 0x10, "block2(v3: i32, v4: i32):",
              "lowering: other arguments are passed on the edge than in the CLIF"),
        Known("edge-moves-skipped", "v2", "x1", "0x0", 0x20, "block1(v2: i32):",
              "the edge into the block: its moves, or a jump that goes past them, "
              f"{_BEHIND} (gone with homes=mixed)"),
        Known("trap-sense-inverted", "", "", "trap", 0x10, "trapz v2, user1",
              "lowering rule trapz_icmp (row b_cond; gone without it)"),
    ),
    "frame": (
        Known("stack-argument-offset", "v8", "x0", "0x0", 0x8,
              "function %f(i32, i32, i32, i32, i32, i32, i32, i32, i32) -> i32 {",
              "the calling convention: where arguments are looked for"),
        Known("results-swapped", "", "x0", "0x0", 0x10, "return v1, v0",
              "the calling convention, or the epilogue: where results are put"),
        Known("last-register-unsaved", "", "x20", "0x406cf658a9414725", 0x18, "return v0, v0, v0",
              f"{_FRAME} (x20) (gone with registers=0)"),
        Known("stack-pointer-not-restored", "", "x30", "returned", 0xC, "return", f"{_FRAME} (x30)"),
    ),
    "encoding": (
        Known("bitmask-rotation", "v2", "x1", "0xffff8001", 0x8, "v2 = bxor v0, v1",
              "the encoder (row eor_ri.w)"),
        Known("wide-move-shift", "v0", "x0", "0x800000000000001", 0xC,
              "v0 = iconst.i64 0x0800_0000_0000_0001", "the encoder (row movk.x)"),
        Known("subtract-reversed", "v2", "x0", "0x1", 0x8, "v2 = isub v1, v0",
              "lowering rule isub, row sub_rr.w or the emission of it (the rule can't be left out)"),
        Known("multiply-high-field", "", "", "", 0x14, "v1, v2 = smul_overflow v0, v0",
              "the encoder (row smulh)"),
    ),
    "optimiser": (
        Known("select-of-false", "", "x0", "0x0", 0xC, "function %f(i32) -> i32 {",
              "the optimiser's rule opt_select_false (gone without it) (gone with opt_level=none)"),
        Known("sum-of-constants-last", "", "x0", "0x2", 0x8, "function %f(i32) -> i32 {",
              "the optimiser's rule opt_add_constants (gone without it) (gone with opt_level=none)"),
        Known("branch-decided-wrongly", "", "x0", "0x1", 0x8, "function %f() -> i32 {",
              "the optimiser (gone with opt_level=none)"),
    ),
    "calls": (
        Known("call-clobbers-forgotten", "v0", "x0", "0x0", 0x8, "return v0", f"{_MOVES} (gone with homes=float)"),
        Known("argument-not-extended", "", "call of %h1, argument 0, i32 sext", "0x0", 0x10, "return",
              "the calling convention: what a caller owes the function it calls"),
        Known("call-results-mixed", "v0", "x1", "0x9c5413a5", 0x8, "v0, v1 = call fn0()",
              "lowering rule call, row bl or the emission of it (the rule can't be left out)"),
    ),
    "buffer": (
        Known("fixup-after-word", "", "", "trap", 0x10, "v1 = udiv v0, v0",
              "the code buffer (the cond19 of the instruction at 16 patched 20)"),
        Known("growth-loses-word", "", "", "returned", 0xC, "return",
              "the code buffer (the word of row add_ri.x)"),
        Known("pool-label-late", "v0", "x0", "0x128e7b6d1", 0x8,
              "v0 = iconst.i64 0x0001_28e7_b6d1", "the constant pool: what it holds, or the label of it"),
        Known("taken-twice", "", "", "", -1, "", "the code buffer (the code was taken twice)"),
    ),
    "floats": (
        Known("float-ceiling-truncates", "v1", "v0", "0x1.0000000000000p1 (0x4000000000000000)", 0x14,
              "v1 = ceil v0", "lowering rule ceil, row frintz.d or the emission of it (the rule can't be left out)"),
        Known("float-negation-quietens", "v1", "v0", "-sNaN:0x1 (0xff800001)", 0xC, "v1 = fneg v0",
              "lowering rule fneg, row fneg.s or the emission of it (the rule can't be left out)"),
        Known("float-spill-narrow", "v1", "v8", "0x0", 0x7C, "return v1, v2",
              f"{_MOVES} (gone with registers=0, homes=int)"),
        Known("float-bound-included", "", "", "trap", 0x34, "v1 = fcvt_to_sint.i8 v0",
              "lowering rule fcvt_to_sint_f64, row fcvtzs_d.w or the emission of it (the rule can't be left out)"),
    ),
    "wide": (
        Known("wide-carry-dropped", "v2", "x1", "0xffffffffffffffff", 0x18, "v2 = iadd v1, v1",
              "lowering rule iadd_pair, row add_rr.x or the emission of it (the rule can't be left out)"),
        Known("wide-select-of-one-half", "v3", "x1", "0x0", 0x20, "v3 = umin v2, v0",
              "lowering rule cmp_pair_less or select_pair, row mov_rr.x or the emission of it "
              "(no toggle tells them apart)"),
        Known("wide-argument-in-odd-register", "v2", "x3", "0x1", 0x4, "function %f(i64, i128, i32) -> i32 {",
              "the calling convention: where arguments are looked for"),
    ),
}  # fmt: skip
ROWS = [(cls, known) for cls, rows in KNOWN.items() for known in rows]


def explained(plant: str) -> Explanation:
    return explain(planted_entries()[plant], target_named("builtin"), planted=True)


@pytest.mark.parametrize(("cls", "known"), ROWS, ids=[known.plant for _, known in ROWS])
def test_known_bugs(cls: str, known: Known) -> None:
    assert BUGS[known.plant].cls == cls
    found = explained(known.plant)
    assert found.verdict == "failing"
    divergence = found.divergence
    assert divergence is not None
    assert (divergence.value, divergence.where, divergence.expected, divergence.offset) == (
        known.value, known.where, known.expected, known.offset,
    )  # fmt: skip
    assert not divergence.got or divergence.got != divergence.expected
    assert [line.clif.strip() for line in found.lines if line.diverges] == [known.line][
        : bool(known.line)
    ]
    assert found.culprit == known.culprit
    if known.value and known.offset >= 0:
        step = found.trace[divergence.step]
        assert step.offset == known.offset


def test_every_class_has_three() -> None:
    assert {bug.cls for bug in BUGS.values()} == set(KNOWN)
    assert min(map(len, KNOWN.values())) >= 3


def _judge(plant: str) -> None:
    started = time.monotonic()
    found = explained(plant)
    spent = time.monotonic() - started
    divergence = found.divergence
    assert divergence is not None
    assert divergence.text
    assert not divergence.text.startswith(GAVE_UP), divergence.text
    assert found.culprit or divergence.value
    assert found.toggles
    if divergence.step >= 0:
        assert found.trace[divergence.step].offset == divergence.offset
    load = max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    assert spent < SECONDS * load


@pytest.mark.parametrize("plant", random.Random(0x5EED).sample(sorted(BUGS), SAMPLE))
def test_a_sample_of_all_planted_bugs(plant: str) -> None:
    _judge(plant)


@pytest.mark.slow
@pytest.mark.parametrize("plant", sorted(BUGS))
def test_all_planted_bugs(plant: str) -> None:
    _judge(plant)


def test_what_is_undefined_and_mattered_is_named() -> None:
    assert explained("extension-bit-too-many").poison == "upper bits of narrow arguments"
    assert explained("spill-store-narrow").poison == "dead stack"
    assert explained("ninth-argument-in-register").poison == "dead registers"
    assert explained("select-swapped").poison == ""


@pytest.mark.parametrize(
    ("key", "at", "row"),
    [("stp as stp", 0x0, "stp_pre.x"), ("mov as mov", 0x4, "mov_rr.x"), ("ldp as stp", 0x8, "ldp_post.x")],
)  # fmt: skip
def test_of_several_wrong_words_each_finding_is_about_its_own(key: str, at: int, row: str) -> None:
    entry = load_entry(next(CORPUS.glob("*/encoding-builtin-aarch64-cd3ad0c911c7.clif")))
    entry.plant, entry.key = "caller-frame", key
    found = explain(entry, target_named("builtin"), planted=True)
    assert found.divergence is not None
    assert f"at {at:#x}" in found.detail
    assert found.divergence.offset == at
    assert found.culprit.startswith(f"the encoder (row {row})")


@pytest.mark.parametrize("plant", ["result-not-extended", "result-extended-by-zeros"])
def test_a_result_that_is_not_extended_is_the_conventions(plant: str) -> None:
    found = explained(plant)
    assert found.divergence is not None
    assert found.divergence.where == "x0"
    assert "since result 0 is promised as i" in found.divergence.text
    assert found.culprit == "the calling convention, or the epilogue: where results are put"


def test_nothing_fails_without_the_bug() -> None:
    entry = planted_entries()["select-swapped"]
    found = explain(entry, target_named("builtin"))
    assert (found.verdict, found.culprit, found.toggles) == ("fixed", "", [])
    assert found.divergence is None
    assert found.trace
    assert any(line.asm for line in found.lines)


def test_a_toggle_says_what_another_compiler_makes_of_it() -> None:
    verdicts = {toggle.what: toggle.verdict for toggle in explained("select-swapped").toggles}
    assert verdicts["without rule select_or_zero"] == "gone"
    assert verdicts["registers=3"] == "still"
    assert verdicts["target llvm"] in ("gone", "unsupported")


def test_the_allocation_checker_is_switched_off_to_see_the_code() -> None:
    found = explained("argument-not-stored")
    assert found.check == "allocation"
    assert found.divergence is not None
    assert found.divergence.text.startswith("without the allocation checker: v0 was right in x0 ")


def test_the_trace_is_cut_around_the_divergence() -> None:
    entry = planted_entries()["immediate-odd-lost"]
    found = explain(entry, target_named("builtin"), planted=True, steps=5)
    assert found.divergence is not None
    assert len(found.trace) == 5
    assert found.executed > 100_000
    assert found.trace[found.divergence.step].offset == found.divergence.offset
    shorter = found.around(2)
    assert shorter.divergence is not None
    assert shorter.trace[shorter.divergence.step] == found.trace[found.divergence.step]
    assert shorter.trace_from >= found.trace_from


# -- targets that say nothing of themselves


class Opaque(Builtin):
    """Right but for ``x0``, which it doubles on its way out; it does not say where its values are."""

    name = "opaque"

    def compile(self, case: Case) -> CompiledCode:
        code = super().compile(case)
        last = code.code.rindex(assemble("aarch64", "ret"))
        double = b"".join(assemble("aarch64", text) for text in ("add x0, x0, x0", "ret"))
        return CompiledCode("aarch64", code.code[:last] + double, traps=code.traps)


class Dies(Builtin):
    name = "dies"

    def compile(self, case: Case) -> CompiledCode:
        os.abort()


def _entry(target: str, **options: str) -> Entry:
    text = "function %f(i64) -> i64 {\nblock0(v0: i64):\n    v1 = iadd v0, v0\n    return v1\n}"
    case = Case(parse_function(text), [(0,), (3,)])
    return Entry(case, "result", target, "0" * 12, **options)


def test_without_a_map_the_last_writer_is_named() -> None:
    found = explain(_entry("opaque"), Opaque())
    assert found.inputs == ["0x3"]
    divergence = found.divergence
    assert divergence is not None
    assert (divergence.where, divergence.expected, divergence.got) == ("x0", "0x6", "0xc")
    assert "last changed by `add x0, x0, x0` at 0x10" in divergence.text
    assert found.trace[divergence.step].text == "add x0, x0, x0"
    assert {t.what: t.verdict for t in found.toggles}["target builtin"] == "gone"


def test_a_compiler_that_dies_takes_nobody_with_it() -> None:
    found = explain(_entry("dies", kind="crash"), Dies())
    assert found.verdict == "failing"
    assert found.observed == "SIGABRT"
    assert found.divergence is not None
    assert found.divergence.text == "the compiler took its process down: SIGABRT."
    verdicts = {t.what: t.verdict for t in found.toggles}
    assert verdicts["registers=3"] == "still"
    assert verdicts["target builtin"] == "gone"


def test_every_isa_that_runs_can_be_traced() -> None:
    assert set(REGISTERS) == set(MACHINES)
