"""Run lines of files whose functions call each other, floats compared bit by bit, and what a file may hold that no
line needs."""

from __future__ import annotations

from pathlib import Path

import pytest

from fuzzer.filetests import FileResult, interpreter, on_target, run_file


def judged(tmp_path: Path, text: str) -> FileResult:
    path = tmp_path / "t.clif"
    path.write_text(text)
    return run_file(path, interpreter, "aarch64", "none")


def counts(result: FileResult) -> tuple[int, int, int]:
    return result.passed, result.failed, result.unsupported


IDENTITY = """function %same(f32) -> f32 {
block0(v0: f32):
    return v0
}
"""


def test_nan_literals_are_compared_by_sign_and_payload(tmp_path: Path) -> None:
    result = judged(tmp_path, IDENTITY + """
; run: %same(+NaN) == +NaN
; run: %same(NaN) == NaN
; run: %same(-NaN) == +NaN
; run: %same(+NaN:0x1) == +NaN:0x1
; run: %same(+NaN:0x1) == +NaN:0x2
; run: %same(+sNaN:0x1) == +NaN:0x1
; run: %same(-sNaN:0x3fffff) == -sNaN:0x3fffff
; run: %same(-0.0) == 0.0
; run: %same(-0.0) != 0.0
; run: %same(0x0.000002p-126) == 0x1.0p-149
""")  # fmt: skip
    assert counts(result) == (6, 4, 0)
    assert [(f.expected, f.got) for f in result.failures] == [
        ("+NaN", "-NaN"), ("+NaN:0x2", "+NaN:0x1"), ("+NaN:0x1", "+sNaN:0x1"), ("0.0", "-0.0"),
    ]  # fmt: skip


DIVIDE = """function %divide(f32, f32) -> f32 {
block0(v0: f32, v1: f32):
    v2 = fdiv v0, v1
    return v2
}
"""


def test_any_quiet_nan_is_right_where_arithmetic_makes_one(tmp_path: Path) -> None:
    result = judged(tmp_path, DIVIDE + """
; run: %divide(0.0, 0.0) == +NaN
; run: %divide(0.0, 0.0) == -NaN:0x17
; run: %divide(0.0, 0.0) == +sNaN:0x1
; run: %divide(0.0, 0.0) == 0x1.0
; run: %divide(0.0, 0.0) != 0x1.0
; run: %divide(0.0, 0.0) != -NaN
; run: %divide(0x1.0, 0x1.0) == 0x1.0
""")  # fmt: skip
    assert counts(result) == (4, 2, 1)
    assert result.reasons == {"a value that depends on open bits of a NaN": 1}


@pytest.mark.parametrize(
    "setting", ["enable_nan_canonicalization", "enable_nan_canonicalization=true"]
)
def test_canonical_nans_are_one_nan(tmp_path: Path, setting: str) -> None:
    header = f"test run\nset opt_level=none {setting}\ntarget x86_64\n"
    lines = "; run: %divide(0.0, 0.0) == +NaN\n; run: %divide(0.0, 0.0) == -NaN\n"
    assert counts(judged(tmp_path, header + DIVIDE + lines)) == (1, 1, 0)


def test_a_value_of_which_nothing_is_known_proves_nothing(tmp_path: Path) -> None:
    result = judged(tmp_path, """function %f(f32) -> i32 {
block0(v0: f32):
    v1 = fsub v0, v0
    v2 = bitcast.i32 v1
    v3 = imul v2, v2
    return v3
}
; run: %f(+Inf) == 0
; run: %f(0x1.0) == 0
; run: %f(+Inf) != 0
; print: %f(0x1.0)
""")  # fmt: skip
    assert counts(result) == (1, 0, 2)
    assert result.printed == ["print: %f(0x1.0) -> 0"]


CALLER = """function %caller(i32) -> i32 {
    fn0 = %callee(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    return v1
}
; run: %caller(1) == 2
; run: %callee(1) == 3
; run: %elsewhere(1) == 2
"""
CALLEE = """function %callee(i32) -> i32 {
block0(v0: i32):
    v1 = iconst.i32 1
    v2 = iadd v0, v1
    return v2
}
"""


def test_functions_are_run_by_name(tmp_path: Path) -> None:
    result = judged(
        tmp_path,
        CALLER + CALLEE.replace("iconst.i32 1", "iconst.i32 2") + "; run: %callee(1) == 3\n",
    )
    assert counts(result) == (2, 2, 0), "a name that is not there stands for the function above"
    assert [failure.text for failure in result.failures] == [
        "; run: %caller(1) == 2", "; run: %elsewhere(1) == 2",
    ]  # fmt: skip


def test_a_name_of_other_types_is_not_what_the_line_means(tmp_path: Path) -> None:
    other = "function %callee(i64) -> i64 {\nblock0(v0: i64):\n    return v0\n}\n"
    text = IDENTITY.replace("f32", "i32") + "; run: %callee(7) == 7\n" + other
    assert counts(judged(tmp_path, text)) == (1, 0, 0)


@pytest.mark.parametrize(
    ("callee", "reason"),
    [
        ("", "a call of %callee, which is not in the file"),
        (CALLEE.replace("-> i32", "-> i32, i32").replace("return v2", "return v2, v2"), "another signature"),
        (CALLEE.replace("v2 = iadd v0, v1", "v2 = iadd v0, v1\n v3 = splat.i32x4 v0"), "splat"),
    ],
)  # fmt: skip
def test_lines_are_unsupported_with_what_they_call(
    tmp_path: Path, callee: str, reason: str
) -> None:
    result = judged(tmp_path, CALLER.replace("; run: %callee(1) == 3\n", "") + callee)
    assert counts(result) == (0, 0, 2)
    assert reason in next(iter(result.reasons))


def test_a_callee_that_is_not_valid_is_an_error_of_the_file(tmp_path: Path) -> None:
    broken = CALLEE.replace("return v2", "return")
    result = judged(tmp_path, CALLER + broken + IDENTITY + "; run: %same(0.0) == 0.0\n")
    assert counts(result) == (1, 0, 0)
    assert [error.rpartition("/")[2] for error in result.errors] == [
        "t.clif:14:5: the function returns: 1 values, not 0"
    ]


def test_functions_of_one_name_are_each_looked_at(tmp_path: Path) -> None:
    line = "; run: %same(0.0) == 0.0\n"
    result = judged(tmp_path, IDENTITY + line + IDENTITY.replace("return v0", "return") + line)
    assert counts(result) == (1, 0, 0)
    assert len(result.errors) == 1


def test_what_no_line_needs_does_no_harm(tmp_path: Path) -> None:
    result = judged(tmp_path, """test interpret
test run
set enable_multi_ret_implicit_sret
target x86_64 has_avx
function %unused(i64 vmctx, i32x4, f64x2) -> i32x4 tail {
    gv0 = vmctx
    gv1 = load.i64 notrap aligned readonly gv0+16
    gv2 = symbol tls u1:2
    fn0 = u0:1(i32x4) -> i32x4 tail
    sig0 = (i64 sret, i32 sarg(16)) windows_fastcall
    ss0 = explicit_slot 16, align = 16
    stack_limit = gv1
block0(v0: i64, v1: i32x4, v2: f64x2):
    return_call fn0(v1)
}
function %lanes(i32x4) -> i32 {
block0(v0: i32x4):
    v1 = extractlane v0, 2
    return v1
}
; run: %lanes([1 2 3 4]) == 3
; run: %lanes(0x00000004000000030000000200000001) == 3
function %thrown(i32) -> i32 {
    sig0 = (i32) -> i32 tail
    fn0 = %same(i32) -> i32 tail
block0(v0: i32):
    try_call fn0(v0), sig0, block1(ret0), [ default: block2(exn0) ]
block1(v1: i32):
    return v1
block2(v2: i64):
    trap user1
}
; run: %thrown(1) == 1
""" + DIVIDE + "; run: %divide(0x1.0, 0x1.0p1) == 0x1.0p-1\n")  # fmt: skip
    assert not result.errors
    assert counts(result) == (1, 0, 3)


def test_deep_recursion_and_long_loops_end(tmp_path: Path) -> None:
    result = judged(tmp_path, """function %deep(i64) -> i64 {
    fn0 = %deep(i64) -> i64
block0(v0: i64):
    brif v0, block1, block2
block1:
    v1 = iconst.i64 1
    v2 = isub.i64 v0, v1
    v3 = call fn0(v2)
    v4 = iadd v3, v1
    return v4
block2:
    return v0
}
; run: %deep(9000) == 9000
; run: %deep(-1) == 0
""")  # fmt: skip
    assert counts(result) == (1, 0, 1)
    assert result.reasons == {"out of fuel": 1}


def test_a_target_is_given_the_functions_that_are_called(tmp_path: Path) -> None:
    path = tmp_path / "t.clif"
    path.write_text(
        CALLER.replace("; run: %callee(1) == 3\n", "") + CALLEE + "; run: %callee(1) == 2\n"
    )
    for isa in ("aarch64", "x86_64"):
        result = run_file(path, on_target("builtin"), isa, "none")
        assert counts(result) == (3, 0, 0)
