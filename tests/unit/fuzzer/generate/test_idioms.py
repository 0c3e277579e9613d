"""Idioms: the notation is read as the rules mean it, and what is drawn is what was asked for."""

from __future__ import annotations

from collections import Counter

import pytest

from backend.ir.entities import Inst
from backend.ir.verifier import verify
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.idioms import Leaf, Node, parse_idiom
from fuzzer.targets import target_named
from fuzzer.targets.builtin import Builtin


def test_the_notation() -> None:
    found = parse_idiom("ishl|ushr x:u, (band y, #k=z), -1")
    band = Node(("band",), (Leaf("y"), Leaf("")))
    assert found == Node(("ishl", "ushr"), (Leaf("x"), band, Leaf("", -1)))


@pytest.mark.parametrize(
    "text",
    ["brif x", "iadd x, (load y)", "cmp x, y", "sdiv x, y", "udiv x, 0", "store x, y", "trapnz x"],
)
def test_what_has_effects_is_passed_over(text: str) -> None:
    assert parse_idiom(text) is None


@pytest.mark.parametrize("text", ["iadd x, (isub y", "iadd x) y"])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"parenthesis|too much"):
        parse_idiom(text)


def test_a_divisor_may_be_a_constant_but_not_zero() -> None:
    divisors = [
        defs[inst.args[1]].imm
        for defs in drawn(60, "udiv x, #k", "ishl x, #k") for inst in defs.values()
        if inst.op.name == "udiv" and inst.args[1] in defs and defs[inst.args[1]].op.name == "iconst"
    ]  # fmt: skip
    assert len(divisors) > 40
    assert 0 not in divisors


def target_with(*texts: str) -> Builtin:
    class One(Builtin):
        def idioms(self, isa: str) -> list[str]:
            return list(texts)

    return One()


def drawn(count: int, *texts: str) -> list[dict[int, Inst]]:
    """The definitions, by value, in some functions with these idioms."""
    generator = CaseGenerator(target_with(*texts), "aarch64", calls=False)
    cases = [generator.from_seed(seed) for seed in range(count)]
    for case in cases:
        verify(case.function)
    return [{v: inst for inst in case.function.instructions() for v in inst.results} for case in cases]  # fmt: skip


def test_an_idiom_is_drawn_as_it_stands() -> None:
    """bitrev (bswap (bitrev x)) comes together by chance in no hundred functions."""

    def seen(*texts: str) -> int:
        return sum(
            inst.op.name == "bitrev"
            and (inner := defs.get(inst.args[0])) is not None and inner.op.name == "bswap"
            and (innermost := defs.get(inner.args[0])) is not None and innermost.op.name == "bitrev"
            for defs in drawn(100, *texts) for inst in defs.values()
        )  # fmt: skip

    assert seen("bitrev (bswap (bitrev x))") > 50
    assert seen() == 0


def test_a_name_is_one_value_and_a_number_that_constant() -> None:
    same = sum(
        inst.op.name == "umulhi" and len(set(inst.args)) == 1
        for defs in drawn(60, "umulhi x, x") for inst in defs.values()
    )  # fmt: skip
    assert same > 50
    ones = Counter(
        defs[inst.args[1]].imm == inst.type.mask
        for defs in drawn(60, "smin x, -1") for inst in defs.values()
        if inst.op.name == "smin" and inst.type is not None and inst.type.bits <= 64
        and inst.args[1] in defs and defs[inst.args[1]].op.name == "iconst"
    )  # fmt: skip
    assert ones[True] > 5 * ones[False]


def test_builtin_looks_for_the_rows_of_its_optimiser_and_its_selector() -> None:
    texts = Builtin().idioms("aarch64")
    for text in (
        "bor (bnot x), (bnot y)",
        "isub x, (ishl (sextend y), #k)",
        "select (bswap x), a, b",
        "urem x, #k",
    ):
        assert text in texts
    assert "band (bnot x), (bnot y)" in target_named("llvm").idioms("x86_64")
