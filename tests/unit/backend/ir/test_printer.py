"""Canonical text: suffixes, literals, order, blank lines."""

from __future__ import annotations

from backend.ir.builder import FunctionBuilder
from backend.ir.entities import FunctionRef, MemFlags, Signature
from backend.ir.parser import parse_function
from backend.ir.printer import print_function
from backend.ir.types import I8, I32, I64


def test_a_suffix_where_the_operand_is_of_another_block() -> None:
    text = print_function(parse_function(
        "function %f(i32, i8) -> i32 {\nblock0(v0: i32, v1: i8):\n v2 = iadd.i32 v0, v0\n"
        " v3 = select.i32 v1, v2, v2\n jump block1\nblock1:\n v4 = iadd v2, v2\n"
        " v5 = select v1, v4, v2\n v6 = icmp.i32 eq v4, v2\n v7 = uextend.i32 v6\n return v7\n}"
    ))  # fmt: skip
    assert text == (
        "function %f(i32, i8) -> i32 {\n"
        "block0(v0: i32, v1: i8):\n"
        "    v2 = iadd v0, v0\n"
        "    v3 = select v1, v2, v2\n"
        "    jump block1\n"
        "\n"
        "block1:\n"
        "    v4 = iadd.i32 v2, v2\n"
        "    v5 = select v1, v4, v2\n"
        "    v6 = icmp eq v4, v2\n"
        "    v7 = uextend.i32 v6\n"
        "    return v7\n"
        "}\n"
    )


def test_declarations_come_in_order_of_kind_and_number() -> None:
    text = print_function(parse_function(
        "function %f() { const0 = 0xff sig0 = () ss2 = explicit_slot 4 gv0 = vmctx ss1 ="
        " explicit_slot 8, align = 1\nblock0():\n return\n}"
    ))  # fmt: skip
    assert text == (
        "function %f() {\n"
        "    ss1 = explicit_slot 8\n"
        "    ss2 = explicit_slot 4\n"
        "    gv0 = vmctx\n"
        "    sig0 = ()\n"
        "    const0 = 0xff\n"
        "\n"
        "block0:\n"
        "    return\n"
        "}\n"
    )


def test_flags_print_in_one_order() -> None:
    text = print_function(parse_function(
        "function %f(i64) {\nblock0(v0: i64):\n"
        " v1 = load.i8 big region3 can_move readonly aligned notrap v0-1\n"
        " v2 = load.i8 heap_oob v0\n v3 = load.i8 checked vmctx user3 v0\n return\n}"
    ))  # fmt: skip
    assert "v1 = load.i8 notrap aligned readonly can_move big region3 v0-1\n" in text
    assert "v2 = load.i8 v0\n" in text
    assert "v3 = load.i8 user3 vmctx checked v0\n" in text


def test_what_a_builder_makes_prints_and_parses() -> None:
    b = FunctionBuilder("%built", [I64, I32], [I32, I8])
    address, x = b.params
    slot = b.slot(16, 8)
    b.function.functions[0] = FunctionRef("%g", Signature())
    done, more = b.block(I32), b.block(cold=True)
    b.store(x, b.stack_addr(slot, 4))
    wide = b.load(I32, address, -8)
    total = b.emit("uadd_overflow", x, wide)
    b.emit("call", ref=0)
    b.br_table(x, (done, (total.results[0],)), more)
    b.switch_to(more)
    b.emit("store", x, address, flags=MemFlags(trap=None, aligned=True))
    b.brif(b.icmp("slt", x, wide), (done, (x,)), (done, (wide,)))
    b.switch_to(done)
    b.ret(done.params[0], b.iconst(I8, -1))
    function = b.finish()
    text = print_function(function)
    assert print_function(parse_function(text)) == text
    assert f"br_table v1, block1(v{total.results[0]}), [block2]" in text
    assert "store.i32 notrap aligned v1, v0" in text
    assert "iconst.i8 -1" in text


def test_copies_keep_annotations_and_are_apart() -> None:
    function = parse_function(
        "function %f() {\n    fn0 = %g()\nblock0:\n<7> call fn0(), stack_map=[i32 @ ss0+4]\n return\n}"
    )
    other = function.copy()
    assert print_function(other) == print_function(function)
    assert "<7> call fn0(), stack_map=[i32 @ ss0+4]" in print_function(other)
    other.blocks[0].insts.pop(0)
    assert "call" in print_function(function)
