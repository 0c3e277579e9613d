"""What is read as ``readonly`` is never stored to, or the case has no meaning."""

from __future__ import annotations

import pytest

from backend.ir.parser import parse_function
from fuzzer.case import DATA_BASE
from fuzzer.outcome import Returned
from fuzzer.reference.evaluate import prepare
from fuzzer.reference.memory import UndefinedBehaviour

READ = "v2 = load.i64 readonly v0+8"
GLOBAL = "v2 = global_value.i64 gv1"


def run(*lines: str) -> None:
    body = "\n".join(lines)
    function = parse_function(f"""function %f(i64 vmctx, i64) -> i64 {{
    gv0 = vmctx
    gv1 = load.i64 notrap readonly gv0+8
block0(v0: i64, v1: i64):
{body}
    return v2
}}""")
    outcome = prepare(function).run((DATA_BASE, 7), bytes(range(64)))
    assert isinstance(outcome, Returned)
    assert outcome.values == (int.from_bytes(bytes(range(8, 16)), "little"),)


@pytest.mark.parametrize("read", [READ, GLOBAL])
def test_stores_beside_it_are_no_matter(read: str) -> None:
    run("store v1, v0", read, "store v1, v0+16", "istore8 v1, v0+7")


@pytest.mark.parametrize("read", [READ, GLOBAL])
@pytest.mark.parametrize("store", ["store v1, v0+8", "istore8 v1, v0+15", "store v1, v0+1"])
def test_a_store_before_or_behind_the_load_is_undefined(read: str, store: str) -> None:
    for lines in ([store, read], [read, store]):
        with pytest.raises(UndefinedBehaviour, match="readonly"):
            run(*lines)


def test_a_global_value_that_is_not_aligned_as_promised_is_undefined() -> None:
    function = parse_function("""function %f(i64 vmctx) -> i64 {
    gv0 = vmctx
    gv1 = load.i64 aligned gv0+4
block0(v0: i64):
    v1 = global_value.i64 gv1
    return v1
}""")
    with pytest.raises(UndefinedBehaviour, match="misaligned"):
        prepare(function).run((DATA_BASE,), bytes(64))
