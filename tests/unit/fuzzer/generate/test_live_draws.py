"""Most of what is drawn comes to something: a branch, a store, a call, a result."""

from __future__ import annotations

from collections.abc import Iterator

from backend.ir.entities import Function, Inst, Value
from fuzzer.generate.cases import CaseGenerator
from fuzzer.targets import target_named

DIVISIONS = frozenset({"udiv", "sdiv", "urem", "srem"})


def has_effect(inst: Inst) -> bool:
    return inst.op.side_effects and inst.op.name not in DIVISIONS


def sources(function: Function) -> dict[Value, list[Value]]:
    """What each value is made of."""
    made: dict[Value, list[Value]] = {}
    blocks = {block.id: block for block in function.blocks}
    for inst in function.instructions():
        for value in inst.results:
            made.setdefault(value, []).extend(inst.args)
        for target in inst.successors():
            for param, arg in zip(blocks[target.block].params, target.args, strict=True):
                made.setdefault(param, []).append(arg)
    return made


def live(function: Function) -> set[Value]:
    made = sources(function)
    work = [arg for inst in function.instructions() if has_effect(inst) for arg in inst.args]
    found: set[Value] = set()
    while work:
        value = work.pop()
        if value not in found:
            found.add(value)
            work += made.get(value, ())
    return found


def pure(functions: list[Function]) -> Iterator[bool]:
    """For each instruction without an effect: is a result of it live?"""
    for function in functions:
        values = live(function)
        for inst in function.instructions():
            if not has_effect(inst):
                yield not values.isdisjoint(inst.results)


def test_more_than_half_of_the_instructions_are_live() -> None:
    generator = CaseGenerator(target_named("builtin"), "aarch64")
    drawn = [f for seed in range(400) for f in generator.from_seed(seed).functions]
    found = list(pure(drawn))
    assert len(found) > 10_000
    assert 0.53 < sum(found) / len(found) < 0.75
