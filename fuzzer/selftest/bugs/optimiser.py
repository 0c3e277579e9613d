"""Bugs of the optimiser: rules that do not hold, constants folded wrongly, values numbered as equal that are not, code
moved or dropped that has effects."""

from __future__ import annotations

from typing import Final

from backend.opt import dead, hoist
from backend.opt.fold import FOLDS, signed
from backend.opt.simplify import Simplifier
from fuzzer.selftest.bug import Bug
from fuzzer.selftest.patch import edited, improvement, item
from fuzzer.selftest.witness import clif

_SPEED: Final = (("opt_level", "speed"),)


def _one(body: str, *inputs: str, params: str = "i32 i32", result: str = "i32") -> str:
    return clif(params, result, body, *inputs)


_SIBLINGS: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1, block2
block1:
    v2 = iadd v0, v1
    return v2
block2:
    v3 = iadd v0, v1
    v4 = bnot v3
    return v4
}
; input: 0, 5
; input: 1, 5
"""
_LOOP: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    jump block1(v1, v0)
block1(v2: i32, v3: i32):
    v4 = iadd v3, v0
    v5 = iconst.i32 1
    v6 = isub v2, v5
    brif v6, block1(v6, v4), block2
block2:
    return v4
}
; input: 3, 2
"""
_TWO_EDGES: Final = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1(v0), block1(v1)
block1(v2: i32):
    return v2
}
; input: 0, 5
; input: 1, 5
"""
_SWITCH: Final = """function %f() -> i32 {
block0:
    v0 = iconst.i32 1
    br_table v0, block1, [block2, block3]
block1:
    v1 = iconst.i32 7
    return v1
block2:
    v2 = iconst.i32 8
    return v2
block3:
    v3 = iconst.i32 9
    return v3
}
; input:
"""
_DECIDED: Final = """function %f() -> i32 {
block0:
    v0 = iconst.i32 1
    brif v0, block1, block2
block1:
    v1 = iconst.i32 7
    return v1
block2:
    v2 = iconst.i32 8
    return v2
}
; input:
"""

BUGS: Final = (
    Bug("sum-of-constants-last", "optimiser", "of two constants added only the last counts",
        "result", 6,
        _one("v2 = iconst.i32 3; v3 = iconst.i32 5; v4 = iadd v0, v2; v5 = iadd v4, v3; return v5", "1, 2"),
        lambda: improvement("add_constants", "{j + k}", "{k}"), _SPEED),
    Bug("power-of-two-next", "optimiser", "a product with 2^n is shifted by n + 1",
        "result", 4, _one("v2 = iconst.i32 8; v3 = imul v0, v2; return v3", "1, 2"),
        lambda: improvement("mul_power", "k.bit_length() - 1", "k.bit_length()"), _SPEED),
    Bug("any-product-shifted", "optimiser", "a product with any constant becomes a shift",
        "result", 4, _one("v2 = iconst.i32 6; v3 = imul v0, v2; return v3", "1, 2"),
        lambda: improvement("mul_power", "if power(k)", "if k > 2"), _SPEED),
    Bug("remainder-keeps-bit", "optimiser", "x rem 2^n keeps n + 1 bits",
        "result", 4, _one("v2 = iconst.i32 8; v3 = urem v0, v2; return v3", "15, 2"),
        lambda: improvement("urem_power", "{k - 1}", "{2 * k - 1}"), _SPEED),
    Bug("shift-out-wraps", "optimiser", "two shifts that shift everything out wrap around instead",
        "result", 5,
        _one("v2 = iconst.i8 5; v3 = ishl v0, v2; v4 = ishl v3, v2; return v4", "1, 2", params="i8 i8", result="i8"),
        lambda: improvement("shl_shl", "if j % B + k % B < B", "if True"), _SPEED),
    Bug("amount-mask-any", "optimiser", "a mask of a shift's amount is dropped though it cuts it",
        "result", 6, _one("v2 = iconst.i32 3; v3 = band v1, v2; v4 = ishl v0, v3; return v4", "1, 4"),
        lambda: improvement("shift_amount_masked", "if k & B - 1 == B - 1", "if k"), _SPEED),
    Bug("compare-swapped-unmirrored", "optimiser", "a constant goes to the right of a comparison whose condition stays",
        "result", 4, _one("v2 = iconst.i32 3; v3 = icmp slt v2, v0; return v3", "7, 0", result="i8"),
        lambda: improvement("icmp_constant_left", "SWAP[cc]", "cc"), _SPEED),
    Bug("select-of-false", "optimiser", "a select of 0 takes the first value",
        "result", 4, _one("v2 = iconst.i8 0; v3 = select v2, v0, v1; return v3", "1, 2"),
        lambda: improvement("select_false", "-> y", "-> x"), _SPEED),
    Bug("and-itself-nothing", "optimiser", "x and x is taken for 0, as x xor x is",
        "result", 2, _one("v2 = band v0, v0; return v2", "3, 1"),
        lambda: improvement("and_itself", "-> x", "-> {0}"), _SPEED),
    Bug("unsigned-minimum-of-ones", "optimiser", "umin with all ones is all ones",
        "result", 4, _one("v2 = iconst.i32 -1; v3 = umin v0, v2; return v3", "3, 1"),
        lambda: improvement("umin_ones", "-> x", "-> {MASK}"), _SPEED),
    Bug("sign-of-wider", "optimiser", "a zero-extended value is sign-extended further",
        "result", 4, clif("i8", "i32", "v1 = uextend.i16 v0; v2 = sextend.i32 v1; return v2", "0x80"),
        lambda: improvement("sextend_uextend", "-> uextend x", "-> sextend x"), _SPEED),
    Bug("truth-of-complement", "optimiser", "a value is taken to be 0 just when its complement is",
        "result", 5, _one("v2 = bnot v0; v3 = select v2, v0, v1; return v3", "0xffffffff, 5", "0, 5"),
        lambda: improvement("truth_of_negation", "ineg x", "bnot x"), _SPEED),
    Bug("folded-division-floors", "optimiser", "a quotient of constants is rounded down",
        "result", 4, clif("", "i32", "v0 = iconst.i32 -7; v1 = iconst.i32 2; v2 = sdiv v0, v1; return v2", ""),
        lambda: item(FOLDS, "sdiv", lambda b, x, y: (signed(x, b) // signed(y, b),) if y else None), _SPEED),
    Bug("folded-zeros-of-zero", "optimiser", "the trailing zeros of a constant 0 are 0",
        "levels", 3, clif("", "i32", "v0 = iconst.i32 0; v1 = ctz v0; return v1", ""),
        lambda: item(FOLDS, "ctz", lambda b, x: (max((x & -x).bit_length() - 1, 0),))),
    Bug("folded-shift-unsigned", "optimiser", "an arithmetic shift of constants shifts zeros in",
        "result", 4, clif("", "i32", "v0 = iconst.i32 -8; v1 = iconst.i32 1; v2 = sshr v0, v1; return v2", ""),
        lambda: item(FOLDS, "sshr", lambda b, x, n: (x >> n % b,)), _SPEED),
    Bug("numbered-without-condition", "optimiser", "two comparisons of the same values are one, whatever they ask",
        "result", 6,
        _one("v2 = icmp slt v0, v1; v3 = icmp eq v0, v1; v4 = bxor v2, v3; return v4", "1, 2", result="i8"),
        lambda: edited(Simplifier._number, "inst.imm, inst.keyword,", "inst.imm,"), _SPEED),
    Bug("numbered-as-commutative", "optimiser", "a difference is taken for that of the operands exchanged",
        "result", 6, _one("v2 = isub v0, v1; v3 = isub v1, v0; v4 = imul v2, v3; return v4", "1, 3"),
        lambda: edited(Simplifier._number, "tuple(sorted(inst.args)) if op.commutes else inst.args",
                       "tuple(sorted(inst.args))"), _SPEED),
    Bug("numbered-across-branches", "optimiser", "what one arm of a branch computed is used in the other",
        "allocation", 14, _SIBLINGS,
        lambda: edited(Simplifier.run, "del self._known[key]", "pass"), _SPEED),
    Bug("hoisted-variant", "optimiser", "what depends on one value of the loop moves out of it",
        "allocation", 18, _LOOP,
        lambda: edited(hoist.hoist, "and all(", "and any("), _SPEED),
    Bug("dead-division-dropped", "optimiser", "a division whose result nobody needs is dropped, and its trap",
        "trap", 4, _one("v2 = udiv v0, v1; return v0", "1, 0"),
        lambda: edited(dead._drop_instructions, "inst.op.side_effects or",
                       "inst.op.writes or inst.op.terminator or not inst.results or"), _SPEED),
    Bug("parameter-of-two-edges", "optimiser", "a block entered twice takes the first edge's arguments",
        "result", 8, _TWO_EDGES,
        lambda: edited(Simplifier._block, "len(entering) == 1", "0 < len(entering) < 3",
                       "block.params, entering[0].args = [], ()",
                       "block.params = []; [setattr(call, 'args', ()) for call in entering]"), _SPEED),
    Bug("branch-decided-wrongly", "optimiser", "a branch on a constant goes the other way",
        "result", 6, _DECIDED,
        lambda: edited(Simplifier._decide, "targets[0 if known else 1]", "targets[1 if known else 0]"), _SPEED),
    Bug("switch-decided-late", "optimiser", "a switch on a constant goes one place too far",
        "result", 8, _SWITCH,
        lambda: edited(Simplifier._decide, "targets[known + 1 if known + 1 < len(targets) else 0]",
                       "targets[(known + 2) % len(targets)]"), _SPEED),
    Bug("certain-trap-dropped", "optimiser", "a trapz of 0 is dropped instead of one of 1",
        "trap", 3, clif("", "", "v0 = iconst.i32 0; trapz v0, user1; return", ""),
        lambda: edited(Simplifier._decided, "certain = bool(known) == _TRAP_IF[op]",
                       "certain = bool(known) != _TRAP_IF[op]"), _SPEED),
)  # fmt: skip
