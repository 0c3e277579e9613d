"""Faults of LLVM that a campaign leaves out have an entry each, which a replay does not leave out."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("llvmlite")

from backend.errors import Unsupported
from backend.ir.parser import parse_function
from fuzzer.case import Case, OptionValue
from fuzzer.corpus.entry import Entry, load_entry
from fuzzer.targets import target_named
from fuzzer.targets.llvm_faults import CASE_FAULTS, known_fault
from fuzzer.targets.llvm_options import selector

CORPUS = Path(__file__).resolve().parents[4] / "corpus"
#: three fatal errors and a complaint of the machine verifier, whose text makes one finding of each, and what was found
#: once in 13,000 functions, twice in 60,000, once in 40,000
LEFT_IN = {
    "b6955a1976b7",
    "c8c73131a1cb",
    "4d9b0a3ab6f8",
    "0bf3ff32cf25",
    "338ab5a695e1",
    "e7cee036057b",
    "8173c30e2ba6",
}
ENTRIES = [
    path
    for path in sorted(CORPUS.glob("*/*-llvm-*.clif"))
    if path.stem.rpartition("-")[2] not in LEFT_IN
]


def fault_of(entry: Entry) -> str:
    case = entry.case
    verifying = bool(case.options.get("verify", False))
    optimised = bool(case.options.get("opt_level", 2) and case.options.get("midend", True))
    by = selector(case.isa, case.options)
    return known_fault(case.isa, by, optimised, verifying, case.functions)


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: path.stem)
def test_an_entry_is_left_out_of_campaigns(path: Path) -> None:
    with pytest.raises(Unsupported, match=r"known fault of LLVM"):
        target_named("llvm").compile(load_entry(path).case)


def test_every_row_has_an_entry() -> None:
    reasons = {fault_of(load_entry(path)) for path in ENTRIES}
    assert [fault.what for fault in CASE_FAULTS if not any(fault.what in r for r in reasons)] == []


MINIMUM = """function %f(f64, f64) -> f64 {{
block0(v0: f64, v1: f64):
    v2 = f64const 0x1.0p4
    v3 = f64const 0x1.0p4
    v4 = fcmp {compare}
    v5 = select v4, {arms}
    return v5
}}"""


@pytest.mark.parametrize(
    ("compare", "arms", "hits"),
    [
        ("lt v0, v2", "v0, v3", True),
        ("ugt v2, v1", "v1, v3", True),
        ("lt v0, v1", "v0, v1", False),
        ("lt v0, v2", "v1, v3", False),
        ("eq v0, v2", "v0, v2", False),
        ("uno v0, v0", "v2, v0", False),
    ],
)
def test_what_a_minimum_is(compare: str, arms: str, hits: bool) -> None:
    function = parse_function(MINIMUM.format(compare=compare, arms=arms))
    assert bool(known_fault("aarch64", "graph", True, False, [function])) == hits
    assert known_fault("x86_64", "graph", True, False, [function]) == ""


TAILS = """function %f(i64) -> i64 {
    sig0 = (i64) -> i64 tail
block0(v0: i64):
    v1 = call_indirect sig0, v0(v0)
    return v1
}"""


def test_a_fault_is_left_out_where_it_is() -> None:
    """By one selector on one ISA, and by nobody else."""
    function = parse_function(TAILS)
    found = {
        (isa, by): bool(known_fault(isa, by, True, False, [function]))
        for isa in ("aarch64", "x86_64")
        for by in ("graph", "fast", "global")
    }
    assert [where for where, hit in found.items() if hit] == [("x86_64", "global")]


@pytest.mark.parametrize(
    ("options", "left_out"),
    [({"opt_level": 0}, True), ({"midend": False}, True), ({}, False), ({"opt_level": 1}, False)],
    ids=str,
)
def test_what_constants_run_into_is_left_out_where_they_are_not_folded(
    options: dict[str, OptionValue], left_out: bool
) -> None:
    text = "function %f() -> i8 {\nblock0:\n  v0 = iconst.i8 3\n  v1 = bitrev v0\n  return v1\n}"
    case = Case(parse_function(text), [()], isa="riscv64", options={"isel": "global", **options})
    if left_out:
        with pytest.raises(Unsupported, match="of a constant"):
            target_named("llvm").compile(case)
    else:
        assert target_named("llvm").compile(case).code


def test_a_case_of_no_fault_is_compiled() -> None:
    plain = "function %f(i64) -> i64 {\nblock0(v0: i64):\n  v1 = iadd v0, v0\n  return v1\n}"
    case = Case(
        parse_function(plain), [(1,)], isa="x86_64", options={"isel": "global", "verify": True}
    )
    assert target_named("llvm").compile(case).code
