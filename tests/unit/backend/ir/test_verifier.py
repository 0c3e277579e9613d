"""The verifier: each rule refuses what breaks it, at the line that breaks it, and nothing else."""

from __future__ import annotations

import pytest

from backend.errors import VerifyError
from backend.ir.builder import FunctionBuilder
from backend.ir.entities import Block, BlockCall, Function, Inst, Signature
from backend.ir.opcodes import opcode_named
from backend.ir.parser import parse_function
from backend.ir.types import I8, I32, I64
from backend.ir.verifier import verify, verify_all

VALID = """function %f(i32, i64) -> i32 {
    ss0 = explicit_slot 8
    sig0 = (i32) -> i32 system_v
    fn0 = %g sig0
block0(v0: i32, v1: i64):
    v2 = iconst.i8 1
    brif v2, block1(v0), block2
block2:
    v3 = call fn0(v0)
    v4 = select v2, v3, v0
    jump block1(v4)
block1(v5: i32):
    v6 = ishl v5, v1
    store v6, v1+4
    try_call fn0(v0), sig0, block3(ret0, v6), [ tag1: block4(exn0), default: block5(exn1, exn0), context v1 ]
block3(v7: i32, v8: i32):
    v9 = fcvt_to_sint_sat.i32 v10
    return v9
block4(v11: i64):
    br_table v0, block6, [block6, block7]
block5(v12: i64, v13: i64):
    trap user1
block6:
    return v6
block7:
    return v0
block8:
    v10 = f32const 0x1.0
    jump block8
}"""


def test_a_valid_function_has_no_errors() -> None:
    # v10 is defined in a block that nothing reaches, so that its use is not dominated
    function = parse_function(VALID)
    assert [e.message for e in verify_all(function)] == [
        "v10 is used where its definition in block8 does not dominate"
    ]
    verify(parse_function(VALID.replace("v9 = fcvt_to_sint_sat.i32 v10", "v9 = iconst.i32 1")))


def body(*lines: str, head: str = "", sig: str = "(i32, i64, f32) -> i32") -> str:
    """Line 1 the signature, line 2 ``head``, line 3 block0, the lines from 4 on."""
    return "\n".join([f"function %f{sig} {{", head, "block0(v0: i32, v1: i64, v2: f32):", *lines,
                      "}"])  # fmt: skip


RETURN = "return v0"


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (body("v3 = iadd v0, v1", RETURN), 4, "v1 is i64, expected i32"),
        (body("v3 = iadd v2, v2", RETURN), 4, "iadd does not take type f32"),
        (body("v3 = fadd v0, v0", RETURN), 4, "fadd does not take type i32"),
        (body("v3 = ishl v0, v2", RETURN), 4, "v2 is f32, expected one of"),
        (body("v3 = uextend.i32 v1", RETURN), 4, "v1 is i64, expected one of i8, i16"),
        (body("v3 = ireduce.i64 v1", RETURN), 4, "expected one of i128"),
        (body("v3 = select v2, v0, v0", RETURN), 4, "v2 is f32"),
        (body("v3 = load.i32 v0", RETURN), 4, "v0 is i32, expected i64"),
        (body("v3 = load.i32 region4 v1", RETURN), 4, "region4 is not declared"),
        (body("store readonly v0, v1", RETURN), 4, "readonly"),
        (body("v3 = iconst.i128 1", RETURN), 4, "iconst does not take type i128"),
        (body("v3 = bitcast.i64 v2", RETURN), 4, "v2 is f32"),
        (body("v3 = bitcast.i16x4 v1", RETURN), 4, "needs a byte order"),
        (body("v3 = bitcast.i16x4 notrap v1", RETURN), 4, "no flags but a byte order"),
        (body("v3 = splat.i32x4 v0", "v4 = extractlane v3, 4", RETURN), 5, "has no lane 4"),
        (body("v3 = splat.i8x16 v4", "v4 = iconst.i8 1", RETURN), 4, "v4 is used before"),
        (body("v3 = vconst.i8x16 0x00", "v4 = shuffle v3, v3, 0x20", RETURN), 5, "above 31"),
        (body("v3 = stack_addr.i64 ss0", RETURN), 4, "ss0 is not declared"),
        (body("v3 = symbol_value.i64 gv0", RETURN), 4, "gv0 is not declared"),
        (body("v3 = func_addr.i64 fn0", RETURN), 4, "fn0 is not declared"),
        (body("v3 = vconst.i32x4 const0", RETURN), 4, "const0 is not declared"),
        (body("v3 = vconst.i32x4 const0", RETURN, head="const0 = 0x00"), 4, "has 1 bytes"),
        (body("call fn0(v1)", RETURN, head="fn0 = %g(i32)"), 4, "v1 is i64, expected i32"),
        (body("call fn0()", RETURN, head="fn0 = %g(i32)"), 4, "1 values, not 0"),
        (body("return_call fn0()", head="fn0 = %g() -> i32 tail"), 4, "tail on both sides"),
        (body("return v1"), 4, "v1 is i64, expected i32"),
        (body("return"), 4, "1 values, not 0"),
        (body("jump block0(v0, v1, v2)"), 4, "can't be branched to"),
        (body("jump block9"), 4, "block9 does not exist"),
        (body("jump block1", "block1(v3: i32):", RETURN), 4, "takes 1 arguments, not 0"),
        (body("jump block1(v1)", "block1(v3: i32):", RETURN), 4, "v1 is i64, but v3"),
        (body("jump block1", "block1:", "jump block2", "block1:", RETURN), 7, "appears twice"),
        (body("br_table v1, block1, []", "block1:", RETURN), 4, "v1 is i64, expected i32"),
        (body("brif v2, block1, block1", "block1:", RETURN), 4, "v2 is f32"),
        (body(RETURN, RETURN), 4, "return before the end"),
        (body("v3 = iadd v0, v0"), 4, "does not end with a terminator"),
        (body("jump block1", "block1:", "block2:", RETURN), 5, "block1 is empty"),
        (body("brif v0, block1, block2", "block1:", "v3 = iconst.i32 1", "jump block2", "block2:",
              "return v3"), 9, "definition in block1 does not dominate"),
        (body("brif v0, block1(v3), block1(v0)", "block1(v3: i32):", RETURN), 4, "v3 is used where"),
        (body("<1> v3 = iadd v0, v0", RETURN), 4, "debug tags"),
        (body(RETURN, sig="(i32, i64) -> i32"), 3, "is the entry: its parameters"),
        (body(RETURN, sig="(i32, i64, f32 uext) -> i32"), 1, "uext on f32"),
        (body(RETURN).replace("):", ") cold:"), 3, "can't be cold"),
        ("function %f() {}", 1, "has no blocks"),
        (body("try_call fn0(), sig0, block1, [ default: block1(exn2) ]", "block1(v3: i64):", RETURN,
              head="sig0 = () fn0 = %g sig0"), 4, "takes 1 arguments, not 0"),
        (body("try_call fn0(), sig0, block1(ret0), []", "block1(v3: i64):", RETURN,
              head="sig0 = () fn0 = %g sig0"), 4, "does not return so many"),
        (body("try_call fn0(), sig0, block1(exn0), []", "block1(v3: i64):", RETURN,
              head="sig0 = () fn0 = %g sig0"), 4, "exn0 on the normal edge"),
        (body("try_call fn0(), sig0, block2, [ default: block1(ret0) ]", "block1(v3: i32):", RETURN,
              "block2:", RETURN, head="sig0 = () -> i32 fn0 = %g sig0"), 4, "ret0 on an exceptional"),
        (body("try_call fn0(), sig0, block2, [ default: block1(exn2) ]", "block1(v3: i64):", RETURN,
              "block2:", RETURN, head="sig0 = () fn0 = %g sig0"), 4, "there are two payloads"),
        (body("try_call fn0(), sig1, block2, []", "block2:", RETURN,
              head="sig0 = () sig1 = () tail fn0 = %g sig0"), 4, "not the signature of fn0"),
    ],
)  # fmt: skip
def test_each_rule_points_at_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(VerifyError) as caught:
        verify(parse_function(text))
    assert message in caught.value.message
    assert caught.value.line == line
    assert message in verify_all(parse_function(text))[0].message


def test_all_errors_are_found() -> None:
    errors = verify_all(parse_function(body("v3 = iadd v0, v1", "v4 = fadd v0, v2", "return v1")))
    assert [e.line for e in errors] == [4, 5, 6]


def test_a_use_in_a_loop_is_dominated_by_the_header() -> None:
    verify(parse_function(body(
        "jump block1(v0)", "block1(v3: i32):", "v4 = iadd v3, v0", "brif v4, block2, block3",
        "block2:", "jump block1(v4)", "block3:", "return v4",
    )))  # fmt: skip


def test_code_out_of_reach_may_use_anything_typed_right() -> None:
    verify(parse_function(body(RETURN, "block1:", "v3 = iadd v4, v4", "return v3", "block2:",
                               "v4 = iconst.i32 1", "jump block1")))  # fmt: skip


def built() -> Function:
    builder = FunctionBuilder("%f", [I32], [I32])
    builder.ret(builder.ins("iadd", builder.params[0], builder.iconst(I32, 1)))
    return builder.finish()


def test_errors_of_built_functions_name_block_and_instruction() -> None:
    function = built()
    function.blocks[0].insts[1].args = (0, 77)
    with pytest.raises(VerifyError, match=r"block0, instruction 1 \(iadd\): v77 is not defined"):
        verify(function)


def test_malformed_instructions_are_refused() -> None:
    def broken(change: object) -> str:
        function = built()
        assert callable(change)
        change(function)
        with pytest.raises(VerifyError) as caught:
            verify(function)
        return caught.value.message

    ret = opcode_named("return")

    def insts(function: Function) -> list[Inst]:
        return function.blocks[0].insts

    assert "takes 2 operands" in broken(lambda f: setattr(insts(f)[1], "args", (0,)))
    assert "gives 1 results" in broken(lambda f: setattr(insts(f)[1], "results", ()))
    assert "above its type" in broken(lambda f: setattr(insts(f)[0], "imm", 1 << 32))
    assert "does not take type None" in broken(lambda f: setattr(insts(f)[1], "type", None))
    assert "v0 is i32, expected i64" in broken(lambda f: setattr(insts(f)[1], "type", I64))
    assert "defined twice" in broken(lambda f: insts(f).insert(1, insts(f)[0]))
    assert "has no type" in broken(lambda f: f.value_types.pop(1))
    assert "gives i32" in broken(lambda f: f.value_types.update({1: I8}))
    assert "the entry" in broken(lambda f: setattr(f, "signature", Signature()))
    assert "2 targets, not 1" in broken(lambda f: insts(f).__setitem__(
        2, Inst(opcode_named("brif"), None, (0,), targets=(BlockCall(1),))) or f.blocks.append(
            Block(1, insts=[Inst(ret, None, (0,))])))  # fmt: skip
