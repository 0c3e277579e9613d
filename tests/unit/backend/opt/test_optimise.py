"""What the passes do and what they leave alone, by example."""

from __future__ import annotations

import pytest

from backend.ir.parser import parse_function
from backend.ir.printer import print_function
from backend.ir.verifier import verify
from backend.opt.optimise import RULES, optimise


def optimised(text: str) -> tuple[str, set[str]]:
    function, hits = optimise(parse_function(text))
    verify(function)
    return print_function(function), {RULES[number].removeprefix("opt_") for number in hits}


EXAMPLES = {
    "a sum that was made above is not made again below": (
        """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iadd v0, v1
    brif v0, block1, block2
block1:
    v3 = iadd v1, v0
    return v3
block2:
    v4 = iadd v1, v0
    v5 = bxor v4, v2
    return v5
}""",
        """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = iadd v0, v1
    brif v0, block1, block2

block1:
    return v2

block2:
    v5 = iconst.i32 0
    return v5
}
""",
        {"same_value", "xor_itself"},
    ),
    "one that was made in the other arm is": (
        """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1, block2
block1:
    v3 = iadd v1, v0
    return v3
block2:
    v4 = iadd v1, v0
    return v4
}""",
        """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1, block2

block1:
    v3 = iadd.i32 v1, v0
    return v3

block2:
    v4 = iadd.i32 v1, v0
    return v4
}
""",
        set(),
    ),
    "an equal division is made once, an unneeded one stays": (
        """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = udiv v0, v1
    v3 = udiv v0, v1
    v4 = urem v1, v0
    v5 = isub v2, v3
    return v5
}""",
        """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v2 = udiv v0, v1
    v4 = urem v1, v0
    v5 = iconst.i32 0
    return v5
}
""",
        {"same_value", "sub_itself"},
    ),
    "what a loop does not change is made before it, what may trap is not": (
        """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    jump block1(v0)
block1(v2: i32):
    v3 = imul v0, v1
    v4 = udiv v0, v1
    v5 = iadd v3, v4
    v6 = isub v2, v5
    brif v6, block1(v6), block2
block2:
    return v6
}""",
        """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    v3 = imul v0, v1
    jump block1(v0)

block1(v2: i32):
    v4 = udiv.i32 v0, v1
    v5 = iadd.i32 v3, v4
    v6 = isub v2, v5
    brif v6, block1(v6), block2

block2:
    return v6
}
""",
        {"loop_invariant"},
    ),
    "what only goes round in a loop is dead": (
        """function %f(i32) -> i32 {
block0(v0: i32):
    jump block1(v0, v0)
block1(v1: i32, v2: i32):
    v3 = imul v2, v2
    v4 = iadd v1, v1
    brif v4, block1(v4, v3), block2
block2:
    return v4
}""",
        """function %f(i32) -> i32 {
block0(v0: i32):
    jump block1(v0)

block1(v1: i32):
    v4 = iadd v1, v1
    brif v4, block1(v4), block2

block2:
    return v4
}
""",
        {"dead_instruction", "dead_parameter"},
    ),
    "a decided branch takes its other arm along": (
        """function %f(i32) -> i32 {
block0(v0: i32):
    v1 = iconst.i32 3
    v2 = iconst.i32 2
    v3 = icmp ult v1, v2
    brif v3, block1, block2(v0)
block1:
    trap user1
block2(v4: i32):
    trapz v1, user2
    return v4
}""",
        """function %f(i32) -> i32 {
block0(v0: i32):
    jump block2

block2:
    return v0
}
""",
        {"fold_icmp", "branch_decided", "parameter_forwarded", "unreachable_block", "trap_impossible",
         "dead_instruction"},
    ),
    "a certain trap ends its block": (
        """function %f(i32) -> i32 {
block0(v0: i32):
    v1 = iconst.i32 0
    trapz v1, user2
    return v0
}""",
        """function %f(i32) -> i32 {
block0(v0: i32):
    trap user2
}
""",
        {"trap_certain", "dead_instruction"},
    ),
    "loads and stores stay where they are": (
        """function %f(i64) -> i32 {
block0(v0: i64):
    v1 = load.i32 v0
    store v1, v0+4
    v2 = load.i32 v0
    v3 = load.i32 v0
    v4 = isub v1, v1
    store v4, v0
    return v2
}""",
        """function %f(i64) -> i32 {
block0(v0: i64):
    v1 = load.i32 v0
    store v1, v0+4
    v2 = load.i32 v0
    v3 = load.i32 v0
    v4 = iconst.i32 0
    store v4, v0
    return v2
}
""",
        {"sub_itself"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", EXAMPLES)
def test_an_example(what: str) -> None:
    before, after, done = EXAMPLES[what]
    text, hits = optimised(before)
    assert text == after
    assert hits == done


def test_the_function_given_is_not_changed() -> None:
    for before, _, _ in EXAMPLES.values():
        function = parse_function(before)
        text = print_function(function)
        optimise(function)
        assert print_function(function) == text


def test_it_takes_time_in_proportion() -> None:
    """Value numbering forgets by what a block learnt, not by copying all that is known."""
    blocks = 3000
    lines = ["function %f(i32) -> i32 {", "block0(v0: i32):"]
    for n in range(1, blocks):
        lines += [f"    v{n} = iadd v{n - 1}, v{max(n - 2, 0)}", f"    jump block{n}", f"block{n}:"]
    text = "\n".join([*lines, f"    return v{blocks - 1}", "}"])
    function, _ = optimise(parse_function(text))
    assert function.instruction_count() == 2 * blocks - 1
