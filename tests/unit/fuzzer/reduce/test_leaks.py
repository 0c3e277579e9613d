"""Stack addresses stay out of sight, whatever the reducer does."""

from __future__ import annotations

import pytest

from backend.ir.parser import parse_function
from fuzzer.case import Case
from fuzzer.reduce.leaks import leaks_stack_address
from fuzzer.reduce.reducer import reduce_case


def _body(lines: str) -> str:
    return ("function %f(i64) -> i64 {\n    ss0 = explicit_slot 16\nblock0(v0: i64):\n    v1 = stack_addr.i64 ss0\n"
            + "".join(f"    {line.strip()}\n" for line in lines.split(";")) + "}\n")  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "leaks"),
    [
        ("return v1", True),
        ("store v1, v1; return v0", True),
        ("v2 = iadd v1, v0; v3 = icmp eq v2, v0; v4 = uextend.i64 v3; return v4", True),
        ("brif v1, block1, block1; block1:; return v0", True),
        ("jump block1(v1); block1(v2: i64):; return v0", True),
        ("trapz v1, user1; return v0", True),
        ("store v0, v1; v2 = load.i64 v1; return v2", False),
        ("v2 = iconst.i64 8; v3 = iadd v1, v2; store v0, v3; return v0", False),
    ],
)
def test_leak(lines: str, leaks: bool) -> None:
    assert leaks_stack_address(parse_function(_body(lines))) is leaks


@pytest.mark.parametrize(
    ("lines", "leaks"),
    [
        ("return v1", True),
        ("call fn0(v1); return v0", True),
        ("v2 = call_indirect sig0, v1(v1); return v0", True),
        ("v2 = call_indirect sig0, v1(v0); return v2", False),
    ],
)
def test_leak_of_the_address_of_a_function(lines: str, leaks: bool) -> None:
    text = _body(lines).replace("ss0 = explicit_slot 16", "fn0 = %g(i64)\n    sig0 = (i64) -> i64")
    function = parse_function(text.replace("stack_addr.i64 ss0", "func_addr.i64 fn0"))
    assert leaks_stack_address(function) is leaks


def test_reducer_keeps_stack_addresses_out_of_sight() -> None:
    function = parse_function(_body("store v0, v1; v2 = load.i64 v1; return v2"))
    reduced, _ = reduce_case(
        Case(function, [(7,)]),
        lambda case: any(inst.op.name == "store" for inst in case.function.instructions()),
    )
    assert not leaks_stack_address(reduced.function)
