"""A chain of declarations is read from its base on."""

from __future__ import annotations

import pytest

from backend.errors import Unsupported
from backend.ir.entities import NO_FLAGS, Function
from backend.ir.global_values import Parameter, Step, Symbol, chain_of
from backend.ir.parser import parse_function
from backend.ir.types import I32, I64


def declared(*lines: str, params: str = "i32, i64 vmctx") -> Function:
    values = ", ".join(f"v{n}: {p.split()[0]}" for n, p in enumerate(params.split(", ")))
    text = "\n".join(f"    {line}" for line in lines)
    return parse_function(f"function %f({params}) {{\n{text}\nblock0({values}):\n    return\n}}")


def test_the_context_is_a_parameter() -> None:
    assert chain_of(declared("gv0 = vmctx"), 0) == (Parameter(1), [])


def test_steps_are_in_the_order_in_which_they_are_done() -> None:
    function = declared(
        "gv3 = vmctx", "gv1 = iadd_imm.i64 gv3, -8", "gv0 = load.i32 notrap aligned gv1+16",
        "gv2 = iadd_imm.i64 gv0, 0x1_0000",
    )  # fmt: skip
    flags = NO_FLAGS._replace(trap=None, aligned=True)
    steps = [Step(I64.mask - 7), Step(16, I32, flags), Step(0x1_0000)]
    assert chain_of(function, 2) == (Parameter(1), steps)
    assert chain_of(function, 0) == (Parameter(1), steps[:2])


def test_a_symbol_has_an_offset() -> None:
    function = declared("gv0 = symbol colocated %data+24", "gv1 = load.i64 gv0")
    assert chain_of(function, 1) == (Symbol("%data"), [Step(24), Step(0, I64)])


@pytest.mark.parametrize(
    ("lines", "params", "why"),
    [
        (["gv0 = vmctx"], "i64", "without such a parameter"),
        (["gv0 = symbol tls %x"], "i64 vmctx", "thread-local"),
        (["gv0 = load.i64 little gv1", "gv1 = vmctx"], "i64 vmctx", "byte order"),
        (["gv0 = iadd_imm.i64 gv1, 1", "gv1 = iadd_imm.i64 gv0, 1"], "i64 vmctx", "rests on itself"),
        (["gv0 = dyn_scale_target_const.i32x4"], "i64 vmctx", "dyn_scale_target_const"),
    ],
)  # fmt: skip
def test_what_nobody_knows_is_said(lines: list[str], params: str, why: str) -> None:
    with pytest.raises(Unsupported, match=why):
        chain_of(declared(*lines, params=params), 0)
