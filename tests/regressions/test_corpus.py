"""The repository's corpus: every entry replays, the seeds cover every operation."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.ir.filetest import parse_file, print_file
from backend.ir.opcodes import OPCODES
from backend.ir.types import I8, I16, I32, I64
from fuzzer.corpus.entry import load_entry
from fuzzer.corpus.replay import replay
from fuzzer.generate.operations import FAMILIES, STRUCTURES
from fuzzer.targets import TargetUnavailable, target_named

CORPUS = Path(__file__).resolve().parents[2] / "corpus"
ENTRIES = sorted(CORPUS.glob("*/*.clif"))


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_entry(path: Path) -> None:
    entry = load_entry(path)
    assert path.parent.name == entry.kind
    try:
        target = target_named(entry.target)
    except TargetUnavailable as error:
        pytest.skip(str(error))
    verdict = replay(entry, target, entry.case.isa)
    assert (
        verdict.verdict
        == {"seed": "clean", "fixed": "fixed", "open": "failing", "wontfix": "failing"}[
            entry.status
        ]
    )


def test_the_seeds_cover_every_operation_and_type() -> None:
    covered: set[tuple[str, object]] = set()
    for path in CORPUS.glob("seeds/*.clif"):
        function = load_entry(path).case.function
        covered |= {(inst.op.name, inst.type) for inst in function.instructions()}
    names = {name for name, _ in covered}
    drawn = {name for weights in FAMILIES.values() for name in weights} - STRUCTURES
    builtin = target_named("builtin")
    supported = {op.name for op in OPCODES if op.name in drawn
                 and any(builtin.supports("aarch64", op, t, s) for t in (None, I8, I16, I32, I64)
                         for s in (None, I8, I16, I32, I64))}  # fmt: skip
    assert supported <= names
    assert {"return", "jump", "brif", "br_table", "trap", "stack_addr", "iconst"} <= names
    for name in ("iadd", "imul", "ishl", "icmp", "select", "udiv", "store", "load", "popcnt"):
        assert {type_ for op, type_ in covered if op == name} >= {I8, I16, I32, I64}


def test_entries_are_canonical() -> None:
    for path in ENTRIES:
        text = path.read_text()
        assert print_file(parse_file(text)) == text, path
