"""Operands in memory on x86-64: which loads and stores are part of another instruction, which may not be, and that what
comes out is right, traps included."""

from __future__ import annotations

import re

import pytest

from backend.isa import isa_named
from backend.machine.compiled import CompiledCode
from fuzzer.case import DATA_BASE
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.witness import case_of, clif
from fuzzer.targets import target_named
from fuzzer.trial import run_trial

BUILTIN = target_named("builtin")


def compiled(
    params: str, results: str, body: str, *inputs: str, **options: bool | int | str
) -> CompiledCode:
    """The code of a function that every check found right on ``inputs``."""
    text = clif(params, results, body, *inputs, memory=4096)
    bug = Bug(
        "no-bug",
        "lowering",
        "",
        "result",
        9,
        text,
        lambda: pytest.fail("not planted"),
        isa="x86_64",
    )
    case = case_of(bug)
    case.memory = bytes((n * 37 + 11) & 0xFF for n in range(4096))
    case.options = dict(options)
    trial, violations = run_trial(case, BUILTIN, thorough=True)
    assert not violations, [v.detail for v in violations]
    assert trial.code is not None
    return trial.code


def rows(code: CompiledCode) -> set[str]:
    names = BUILTIN.rows("x86_64")
    return {names[index] for index in code.row_hits}


AT = f"{DATA_BASE + 256}, 5"
FOLDED = {
    "add": ("i64 i64", "i64", "v2 = load.i64 v0+8; v3 = iadd v1, v2; return v3", "add_rm.q_o"),
    "add, exchanged": ("i64 i32", "i32", "v2 = load.i32 v0-8; v3 = iadd v2, v1; return v3", "add_rm.l_o"),
    "subtrahend": ("i64 i32", "i32", "v2 = load.i32 v0; v3 = isub v1, v2; return v3", "sub_rm.l_o"),
    "indexed": ("i64 i64", "i64", "v2 = iadd v0, v1; v3 = load.i64 v2+3; v4 = imul v1, v3; return v4", "imul_rm.q_x"),
    "displaced": ("i64 i64", "i64", "v2 = iconst.i64 -8; v3 = iadd v0, v2; v4 = load.i64 v3+3; v5 = bxor v1, v4;"
                  " return v5", "xor_rm.q_o"),
    "compare": ("i64 i8", "i8", "v2 = load.i8 v0; v3 = icmp ult v1, v2; return v3", "cmp_rm.b_o"),
    "compare, exchanged": ("i64 i16", "i8", "v2 = load.i16 v0; v3 = icmp slt v2, v1; return v3", "cmp_rm.w_o"),
    "compare, constant": ("i64 i64", "i8", "v2 = load.i64 v0; v3 = iconst.i64 -300; v4 = icmp sgt v2, v3; return v4",
                          "cmp_mi.q_o"),
    "condition": ("i64 i64", "i64", "v2 = load.i16 v0; v3 = select v2, v0, v1; return v3", "cmp_mi.w_o"),
    "branch": ("i64 i64", "i64", "v2 = load.i8 v0; brif v2, block1, block2; block1:; return v0; block2:; return v1",
               "cmp_mi.b_o"),
    "zero-extended": ("i64 i64", "i32", "v2 = load.i8 v0; v3 = uextend.i32 v2; return v3", "movzx_b.l_o"),
    "sign-extended": ("i64 i64", "i64", "v2 = load.i32 v0; v3 = sextend.i64 v2; return v3", "movsx_l.q_o"),
    **{f"f{op} {w}{way}": (f"i64 f{w}", f"f{w}", f"v2 = load.f{w} v0; v3 = f{op} {args}; return v3",
                           f"{op}_rm.{'s' if w == 32 else 'd'}")
       for w in (32, 64) for way, ops, args in (("", "add sub mul div", "v1, v2"), (", exchanged", "add mul", "v2, v1"))
       for op in ops.split()},
    "float compare": ("i64 f32", "i8", "v2 = load.f32 v0; v3 = fcmp ge v1, v2; return v3", "ucomi_rm.s"),
    "promoted": ("i64 i64", "f64", "v2 = load.f32 v0; v3 = fpromote.f64 v2; return v3", "cvt_rm.d"),
    "demoted": ("i64 i64", "f32", "v2 = load.f64 v0; v3 = fdemote.f32 v2; return v3", "cvt_rm.s"),
    **{f"i{n} to f{w}": ("i64 i64", f"f{w}", f"v2 = load.i{n} v0; v3 = fcvt_from_sint.f{w} v2; return v3",
                         f"cvtsi_{'s' if w == 32 else 'd'}_rm.{'l' if n == 32 else 'q'}")
       for n in (32, 64) for w in (32, 64)},
    "changed": ("i64 i8", "i8", "v2 = load.i8 v0+7; v3 = isub v2, v1; store v3, v0+7; return v1", "sub_mr.b_o"),
    "changed by a constant": ("i64 i16", "i16", "v2 = load.i16 v0; v3 = iconst.i16 0x7fff; v4 = bor v2, v3;"
                              " store v4, v0; return v1", "or_mi.w_o"),
    "past a load": ("i64 i64", "i64", "v2 = load.i64 notrap v0; v3 = load.i64 v0+8; v4 = iadd v1, v2; v5 = bxor v4, v3;"
                    " store v5, v0; return v4", "add_rm.q_o"),
}  # fmt: skip


@pytest.mark.parametrize("name", FOLDED)
def test_a_load_of_one_user_is_part_of_it(name: str) -> None:
    params, results, body, row = FOLDED[name]
    assert row in rows(compiled(params, results, body, AT))
    assert row in rows(compiled(params, results, body, AT, registers=3, homes="mixed"))
    plain = rows(compiled(params, results, body, AT, disabled_rules="fold"))
    assert row not in plain or row.startswith("mov")
    assert any("load" in other or other.startswith("mov") for other in plain)


def test_every_rule_that_folds_is_among_these() -> None:
    hits: set[int] = set()
    for params, results, body, _ in FOLDED.values():
        hits |= compiled(params, results, body, AT).rule_hits
    isa = isa_named("x86_64")
    rest = [rule.name for rule in isa.rules if rule.group == "fold" and rule.index not in hits]
    # these are the same in all but their operation, or an extension's width
    assert {re.sub(r"(store|extend_load)_.*", r"\1", name) for name in rest} <= {
        "store", "uextend_load", "sextend_load",
    }  # fmt: skip


APART = {
    "used twice": "v2 = load.i64 v0; v3 = iadd v1, v2; v4 = imul v3, v2; return v4",
    "a store between": "v2 = load.i64 v0; store v1, v0; v3 = iadd v1, v2; return v3",
    "a store elsewhere between": "v2 = load.i64 v0; istore8 v1, v0+100; v3 = iadd v1, v2; return v3",
    "a trap between": "v2 = load.i64 v0; trapz v1, user1; v3 = iadd v1, v2; return v3",
    "a division between": "v2 = load.i64 v0; v3 = udiv v0, v1; v4 = iadd v1, v2; v5 = iadd v4, v3; return v5",
    "a load that may trap between": "v2 = load.i64 v0; v3 = load.i64 v0+8; v4 = iadd v1, v2; v5 = bxor v4, v3;"
                                    " store v5, v0; return v4",
    "another block": "v2 = load.i64 v0; jump block1; block1:; v3 = iadd v1, v2; return v3",
    "a calm load past a store": "v2 = load.i64 notrap v0; store v1, v0; v3 = iadd v1, v2; return v3",
    "a constant beside it": "v2 = load.i64 v0; v3 = iconst.i64 0x123456789abc; v4 = iadd v3, v2; return v4",
}  # fmt: skip


@pytest.mark.parametrize("name", APART)
def test_what_could_tell_keeps_a_load_where_it_is(name: str) -> None:
    assert "add_rm.q_o" not in rows(compiled("i64 i64", "i64", APART[name], AT))


KEPT = {
    "another place": "v2 = load.i64 v0; v3 = iadd v2, v1; store v3, v0+8; return v3",
    "another address": "v2 = load.i64 v0; v3 = iadd v2, v1; v4 = iadd v0, v1; store v3, v4; return v3",
    "wanted elsewhere": "v2 = load.i64 v0; v3 = iadd v2, v1; store v3, v0; return v3",
    "another trap": "v2 = load.i64 user1 v0; v3 = iadd v2, v1; store v3, v0; return v1",
    "a store between": "v2 = load.i64 v0; store v1, v0+4; v3 = iadd v2, v1; store v3, v0; return v1",
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_not_changed_in_place(name: str) -> None:
    assert "add_mr.q_o" not in rows(compiled("i64 i64", "i64", KEPT[name], AT))


@pytest.mark.parametrize("body", [
    "v2 = load.i64 user7 v0; v3 = iadd v1, v2; return v3",
    "v2 = load.i64 user7 v0; v3 = icmp eq v1, v2; v4 = select v3, v0, v1; return v4",
    "v2 = load.i64 user7 v0; v3 = bxor v2, v1; store user7 v3, v0; return v1",
])  # fmt: skip
def test_the_trap_is_recorded_at_the_instruction_that_makes_it(body: str) -> None:
    bad = f"{DATA_BASE + 4092}, 5"
    code = compiled("i64 i64", "i64", body, AT, bad)
    assert any("_rm." in row or "_mr." in row for row in rows(code))
    (trap,) = code.traps
    assert code.texts is not None
    (text,) = [text for at, text in code.texts() if at == trap[0]]
    assert "qword ptr [" in text
    assert trap[1] == "user7"
