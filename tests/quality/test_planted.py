"""Each planted bug is a real one: its witness shows it, by the check expected to, and only while it is planted."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from fuzzer.case import Case
from fuzzer.checks import CHECKS
from fuzzer.corpus.entry import load_entry
from fuzzer.finding import Violation
from fuzzer.selftest.bugs import BUGS
from fuzzer.selftest.witness import case_of
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

_CLASSES = {"encoding", "branches", "buffer", "registers", "frame", "calls", "lowering", "optimiser", "floats",
            "wide"}  # fmt: skip
_NAMED_BY_THE_PROJECT = {"pair-writeback", "frame-pointer-xzr", "load-pair-as-store", "caller-frame",
                         "fixup-after-word"}  # fmt: skip


_CORPUS = Path(__file__).resolve().parents[2] / "corpus"
_ENTRIES = [load_entry(path) for path in sorted(_CORPUS.glob("*/*.clif"))]


def _tried(case: Case) -> list[Violation]:
    trial, found = run_trial(case, target_named("builtin"), thorough=True)
    assert not trial.unsupported
    return found


def test_there_are_enough_of_every_class() -> None:
    assert len(BUGS) >= 60
    assert {bug.cls for bug in BUGS.values()} == _CLASSES
    assert set(BUGS) >= _NAMED_BY_THE_PROJECT


@pytest.mark.parametrize("name", BUGS)
def test_bug_is_seen_while_planted_and_only_then(name: str) -> None:
    bug = BUGS[name]
    assert re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)+", name)
    assert name == bug.name
    assert bug.check in CHECKS
    case = case_of(bug)
    assert case.function.instruction_count() >= 1
    assert _tried(case) == []
    with bug.plant():
        seen = {violation.check for violation in _tried(case)}
    assert bug.check in seen, f"seen: {sorted(seen)}"
    assert _tried(case) == []


@pytest.mark.parametrize("name", BUGS)
def test_corpus_has_an_entry_that_fails_while_the_bug_is_planted(name: str) -> None:
    entries = [entry for entry in _ENTRIES if entry.plant == name]
    assert entries
    for entry in entries:
        assert entry.status == "fixed"
        assert entry.case.function.instruction_count() <= BUGS[name].limit
        assert _tried(entry.case) == []
        with BUGS[name].plant():
            assert entry.check in {violation.check for violation in _tried(entry.case)}


def test_planting_restores_the_backend_after_an_exception() -> None:
    bug = BUGS["caller-frame"]
    interrupted = bug.plant()
    interrupted.__enter__()
    assert _tried(case_of(bug))
    assert interrupted.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None) is not True
    assert _tried(case_of(bug)) == []


def test_two_bugs_in_one_function_can_be_planted_together() -> None:
    first, second = BUGS["trap-record-late"], BUGS["length-one-short"]
    third, fourth = BUGS["pool-label-late"], BUGS["capacity-off-by-word"]
    stale = BUGS["switch-rotated"]
    with first.plant(), second.plant(), third.plant(), fourth.plant(), stale.plant():
        assert {v.check for v in _tried(case_of(second))} >= {"buffer"}
    for bug in (first, second, third, fourth, stale):
        assert _tried(case_of(bug)) == []


def test_bug_that_shows_everywhere_hides_no_other() -> None:
    everywhere, other = BUGS["caller-frame"], BUGS["subtract-reversed"]
    with everywhere.plant(), other.plant():
        assert {v.check for v in _tried(case_of(other))} >= {everywhere.check, other.check}
        assert other.check not in {v.check for v in _tried(case_of(everywhere))}


def test_every_check_is_expected_by_some_bug() -> None:
    # Bugs are planted in the builtin backend, which speaks no protocol.
    assert {bug.check for bug in BUGS.values()} == set(CHECKS) - {"protocol"}
