"""The parser: what it takes, where it says no, and that hostile text gets a ParseError in linear time."""

from __future__ import annotations

import time

import pytest

from backend.errors import ParseError
from backend.ir.entities import Handler, Inst, exception_arg, return_arg
from backend.ir.parser import parse_function
from backend.ir.printer import print_function
from backend.ir.types import F32, I8, I32, I64, I128, type_named
from backend.ir.verifier import verify

EVERYTHING = """
function u0:7(i64 vmctx, i32 uext, i32 sarg(8)) -> i32 sext tail {
    ss0 = explicit_slot 16, align = 8, key = 7
    gv0 = vmctx
    gv1 = load.i64 notrap aligned readonly gv0+0x1_0000
    gv2 = iadd_imm.i64 gv1, -8
    gv3 = symbol colocated tls %thing+8
    gv4 = dyn_scale_target_const.i32x4
    dt0 = i32x4*gv4
    dss0 = explicit_dynamic_slot dt0
    region0 = 3 "the heap"
    sig0 = (i64, f32x4) -> i32, i64 system_v
    fn0 = colocated patchable u1:2 sig0
    fn1 = %Memcpy(i64, i64, i64) -> i64
    fn2 = userextname3 sig0
    const0 = 0x0102
    const1 = i32x4 [1 -1 0x10 0]
    stack_limit = gv2

block0(v0: i64, v1: i32, v2: i32):
    v3 = vconst.i32x4 const1
    v4 = splat.dt0 v1
    v5 = extract_vector v4, 0
    v6 = f128const const0
    v7 = bitcast.f32x4 little v3
@0a2b    v8, v9 = call fn0(v0, v7), stack_map=[i32 @ ss0+0, i64 @ ss0+8]
<0, ss0> sequence_point
    v10 = shuffle v11, v11, 0x0f0e0d0c0b0a09080706050403020100
    v11 = vconst.i8x16 [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]
    v12 = load.i32 notrap aligned region0 v0+8
    v13 = atomic_rmw.i32 little add v0, v12
    v14 = atomic_cas user12 v0, v12, v13
    v15 = uload32 v0
    try_call fn0(v0, v7), sig0, block1(ret0, v1), [ tag1: block2(exn0), default: block3, context v0 ]

block1(v20: i32, v21: i32):
    return_call_indirect sig0, v0(v0, v7)

block2(v22: i64) cold:
    try_call_indirect v0(v0, v7), sig0, block3, []

block3:
    br_table v1, block4(v1), [block4(v2), block5]

block4(v30: i32):
    v31 -> v30
    return v31

block5:
    trap user250
}
"""


def test_the_whole_grammar_round_trips() -> None:
    function = parse_function(EVERYTHING)
    text = print_function(function)
    assert print_function(parse_function(text)) == text
    for piece in ("stack_map=[i32 @ ss0+0, i64 @ ss0+8]", "<0, ss0> sequence_point", "@0a2b ",
                  "tag1: block2(exn0), default: block3, context v0", "block1(ret0, v1)",
                  'region0 = 3 "the heap"', "align = 8, key = 7", "block2(v22: i64) cold:",
                  "splat.i32x4xN v1", "fn1 = %Memcpy(i64, i64, i64) -> i64", "uload32.i64 v0",
                  "gv1 = load.i64 notrap aligned readonly gv0+0x0001_0000", "return v30"):  # fmt: skip
        assert piece in text, piece


def test_parts_of_an_instruction_land_where_the_entities_say() -> None:
    insts = list(parse_function(EVERYTHING).instructions())
    by_name: dict[str, Inst] = {inst.op.name: inst for inst in insts}
    call = by_name["try_call"]
    assert (call.ref, call.sig, call.args) == (0, 0, (0, 7))
    assert call.targets[0].args == (return_arg(0), 1)
    assert isinstance(call.data, tuple)
    handler = call.data[0]
    assert handler.target is not None
    assert (handler.kind, handler.tag, handler.target.args) == ("tag", 1, (exception_arg(0),))
    assert call.data[2] == Handler("context", -1, None, 0)
    assert by_name["atomic_cas"].flags.trap == "user12"
    assert by_name["load"].flags.region == 0
    assert by_name["load"].imm == 8
    assert by_name["shuffle"].data == bytes(range(16))
    assert by_name["br_table"].targets[1].args == (2,)
    assert by_name["call"].srcloc == 0x0A2B


def test_types_come_from_definitions_that_stand_later() -> None:
    function = parse_function(
        "function %f(i32) -> i8 {\n"
        "block0(v0: i32):\n jump block2\n"
        "block1:\n v1 = iadd v2, v2\n v3 = icmp eq v1, v2\n return v3\n"
        "block2:\n v2 = iadd v0, v4\n v4 = iconst.i32 1\n jump block1\n}"
    )
    assert function.value_types == {0: I32, 1: I32, 2: I32, 3: I8, 4: I32}


def test_the_controlling_operand_is_not_always_the_first() -> None:
    function = parse_function(
        "function %f(i8, i64, i128) {\nblock0(v0: i8, v1: i64, v2: i128):\n v3 = select v0, v1, v1\n"
        " v4, v5 = isplit v2\n v6 = atomic_cas v1, v0, v0\n v7 = f32const 0x1.0\n return\n}"
    )
    types = function.value_types
    assert [types[v] for v in (3, 4, 5, 6, 7)] == [I64, I64, I64, I8, F32]
    assert types[2] is I128
    assert next(i for i in function.instructions() if i.op.name == "select").type is I64


def test_chains_of_aliases_end_at_a_value() -> None:
    function = parse_function(
        "function %f(i32) -> i32 {\nblock0(v0: i32):\n v3 -> v2\n v2 -> v1\n v1 -> v0\n"
        " v4 = iadd v3, v2\n return v4\n}"
    )
    assert next(function.instructions()).args == (0, 0)
    verify(function)


def body(line: str) -> str:
    return f"function %f(i32) {{\nblock0(v0: i32):\n    {line}\n    return\n}}\n"


@pytest.mark.parametrize(
    ("line", "place", "message"),
    [
        ("v1 = foo v0", (3, 10), "unknown opcode foo"),
        ("v1 = iadd v0, v9", (3, 19), "v9 is not defined"),
        ("v1 = iadd v0", (4, 5), "expected ','"),
        ("v1 = iconst 5", (3, 17), "iconst needs a type suffix"),
        ("v1 = iconst.i8 256", (3, 20), "does not fit in 8 bits"),
        ("v1 = iconst.i7 2", (3, 17), "expected a type"),
        ("v0 = iconst.i8 1", (3, 5), "v0 is defined twice"),
        ("v01 = iconst.i8 1", (3, 5), "no leading zeros"),
        ("v999999999999 = iconst.i8 1", (3, 5), "the largest number is 4294967294"),
        ("v4294967295 = iconst.i8 1", (3, 5), "the largest number is 4294967294"),
        ("v1, v2 = iconst.i8 1", (3, 5), "gives 1 results, 2 are named"),
        ("iconst.i8 1", (3, 5), "gives 1 results, 0 are named"),
        ("v1 = icmp zz v0, v0", (3, 15), "expected an integer condition"),
        ("trapz v0, user0", (3, 15), "expected a trap code"),
        ("trapz v0, user251", (3, 15), "expected a trap code"),
        ("v1 = f32const 1.0", (3, 19), "expected a float"),
        ("v1 = load.i32 notrap heap_oob v0", (3, 26), "contradicts"),
        ("v1 = load.i32 v0+2147483648", (3, 21), "does not fit in 32 bits"),
        ("v1 -> v1", (3, 5), "alias of itself"),
        ("v1 -> v7", (3, 5), "v7 is not defined"),
        ("jump.i32 block0", (3, 9), "takes no type suffix"),
        ("v1 = isplit.i8 v0", (3, 5), "no result at type i8"),
        ("v1 = iadd v0, $", (3, 19), "expected v0, v1, ..., found $"),
        ("v1 = iadd v0, é", (3, 19), r"found '\xe9'"),
        ("v1 = iadd v0, \0", (3, 19), r"found '\x00'"),
        ("call fn3(v0)", (3, 10), "fn3 is not declared"),
        ("v1 = iadd v2, v2 v2 = iadd v1, v1", (3, 5), "can't be told here"),
        ("v1 = vconst.i32x4 [1 2 3]", (3, 23), "4 lanes, not 3"),
        ("v1 = bitcast.i32 [", (3, 22), "expected v0"),
    ],
)
def test_errors_name_line_and_column(line: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_function(body(line), "f.clif")
    error = caught.value
    assert message in error.message
    assert (error.path, error.line, error.column) == ("f.clif", *place)
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "function",
        "function %f",
        "function %f(",
        "function %f() {",
        "function %f() -> {}",
        "function %f() {} function %g() {}",
        "function f() {}",
        "function userextname0() {}",
        "function %f() { ss0 = explicit_slot 8, align = 3 }",
        "function %f() { ss0 = explicit_slot 8 ss0 = explicit_slot 8 }",
        "function %f() { xx0 = vmctx }",
        "function %f() { dt0 = i32*gv0 }",
        "function %f() { region0 = 1 2 }",
        "function %f() { const0 = [1 2] }",
        "function %f() {\nblock0(v0: dt3):\n return }",
        "function %f(i32x3) {}",
        "function %f(i32x00000000000004) {}",
    ],
)
def test_broken_text_is_a_parse_error(text: str) -> None:
    with pytest.raises(ParseError):
        parse_function(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 1_000_000,
        "function %f() { " + "sig0 = (" * 100_000,
        "function %f() {\nblock0:\n br_table v0, block0, " + "[" * 500_000,
        "function %f() {\nblock0:\n v" + "9" * 1_000_000 + " = iconst.i8 0\n}",
        "function %f() {\nblock0:\n v0 = iconst.i64 " + "9" * 1_000_000 + "\n}",
        "function %f() {\nblock0:\n v0 = f32const 0x" + "f" * 1_000_000 + ".0\n}",
        "function %f() {\nblock0:\n v0 = f32const 0x1.0p" + "9" * 1_000_000 + "\n}",
        "%" + "a" * 1_000_000,
        '"' + "a" * 1_000_000,
        "\0" * 1_000_000,
        "\n" * 1_000_000,
        ";" * 1_000_000,
        "- " * 500_000,
    ],
    ids=lambda text: ascii(text[:24]),
)
def test_a_megabyte_of_nonsense_is_refused_quickly(text: str) -> None:
    began = time.perf_counter()
    with pytest.raises(ParseError) as caught:
        parse_function(text)
    assert time.perf_counter() - began < 20
    assert len(str(caught.value)) < 300


def chain(count: int) -> str:
    lines = [f" v{n} = iadd v{n - 1}, v0" for n in range(1, count)]
    return "function %f(i32) {\nblock0(v0: i32):\n" + "\n".join(lines) + "\n return\n}"


def backward_chain(count: int) -> str:
    """Every type is known only once the last instruction is read."""
    lines = [f" v{n} = iadd v{n + 1}, v{n + 1}" for n in range(1, count)]
    last = f" v{count} = iconst.i32 1"
    return "function %f() {\nblock0:\n" + "\n".join([*lines, last]) + "\n return\n}"


def alias_chain(count: int) -> str:
    lines = [f" v{n} -> v{n - 1}" for n in range(count, 0, -1)]
    return "function %f(i32) {\nblock0(v0: i32):\n" + "\n".join(lines) + "\n return\n}"


@pytest.mark.parametrize("make", [chain, backward_chain, alias_chain])
def test_time_is_linear_in_the_text(make: object) -> None:
    assert callable(make)

    def seconds(count: int) -> float:
        text = make(count)
        began = time.perf_counter()
        parse_function(text)
        return time.perf_counter() - began

    seconds(500)
    assert seconds(16_000) < 30 * max(seconds(2_000), 0.005)


def test_places_are_kept_beside_the_function() -> None:
    function = parse_function("\n" + body("v1 = iadd v0, v0"))
    assert function.places is not None
    first, last = function.instructions()
    assert function.places[first] == (4, 5)
    assert function.places[last] == (5, 5)
    assert function.places[function.blocks[0]] == (3, 1)
    assert type_named("i32") is function.value_types[1]
