"""Each rule of the optimiser can happen, and holds: instances of its left side do what they did."""

from __future__ import annotations

import random
from itertools import product

import pytest

from backend.ir.opcodes import Opcode, opcode_named, second_types
from backend.ir.parser import parse_function
from backend.ir.printer import print_function
from backend.ir.types import I8, I16, I32, I64, Type
from backend.ir.verifier import verify
from backend.opt.fold import FOLDS
from backend.opt.matching import ALGEBRA, TRUTH, Leaf, Node, Rule, Term
from backend.opt.optimise import OPCODES, RULES, optimise
from fuzzer.reference.evaluate import prepare

WIDTHS = (I8, I16, I32, I64)
INSTANCES = 10


class Misfit(Exception):
    """The types drawn do not go together."""


class Instance:
    """A function whose result is the left side of a rule, its types and constants drawn."""

    def __init__(self, rule: Rule, dice: random.Random) -> None:
        self.dice = dice
        self.lines: list[str] = []
        self.params: dict[str, Type] = {}
        self.constants: dict[str, int] = {}
        root = opcode_named(dice.choice(rule.roots))
        control = dice.choice([type_ for type_ in WIDTHS if type_ in root.over])
        result, type_ = self.inst(root, control, rule.left)
        if rule in TRUTH:
            value = self.fresh()
            self.lines.append(f"{value} = bmask.i8 {result}")
            self.lines.append(f"trapnz {result}, user1")
            result, type_ = value, I8
        params = ", ".join(f"{name}: {kind}" for name, kind in self.params.items())
        types = ", ".join(map(str, self.params.values()))
        body = "\n    ".join([*self.lines, f"return {result}"])
        block = f"block0({params}):" if params else "block0:"
        self.text = f"function %f({types}) -> {type_} {{\n{block}\n    {body}\n}}\n"

    def fresh(self) -> str:
        return f"v{1000 + len(self.lines)}"

    def inst(self, op: Opcode, control: Type, args: tuple[Term, ...]) -> tuple[str, Type]:
        """The name and type of the result of an instruction over ``args``."""
        second = self.dice.choice([s for s in second_types(op, control) if s in WIDTHS] or [None])
        kinds = {"T": control, "S": second}
        given = []
        for term, kind in zip(args, op.operands, strict=True):
            wanted = kinds[kind]
            if wanted is None:
                raise Misfit
            given.append(self.operand(term, wanted))
        condition = self.dice.choice(("eq", "ne", "ult", "ule", "ugt", "uge", "slt", "sge"))
        name = f"{op.name} {condition}" if op.name == "icmp" else f"{op.name}.{control}"
        value = self.fresh()
        self.lines.append(f"{value} = {name} {', '.join(given)}")
        return value, I8 if op.name == "icmp" else control

    def operand(self, term: Term, wanted: Type) -> str:
        if isinstance(term, Node):
            op = opcode_named(term.opcode)
            control = self.dice.choice(WIDTHS) if op.name == "icmp" else wanted
            if control not in op.over:
                raise Misfit
            value, type_ = self.inst(op, control, term.args)
            if type_ is not wanted:
                raise Misfit
            return value
        if term.kind == "value":
            name = f"v{ord(term.text)}"
            if self.params.setdefault(name, wanted) is not wanted:
                raise Misfit
            return name
        return self.constant(term, wanted)

    def constant(self, leaf: Leaf, wanted: Type) -> str:
        low = [0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 63]
        bits = int(leaf.text) if leaf.kind == "int" else self.dice.choice(
            [*low, wanted.mask, wanted.sign, wanted.sign - 1, wanted.bits - 1]
        )  # fmt: skip
        value = self.fresh()
        self.lines.append(f"{value} = iconst.{wanted} {bits & wanted.mask}")
        return value


def inputs(types: list[Type], dice: random.Random) -> list[tuple[int, ...]]:
    chosen = [[0, 1, type_.mask, type_.sign, dice.getrandbits(64) & type_.mask] for type_ in types]
    return list(product(*chosen))


@pytest.mark.parametrize("rule", [*ALGEBRA, *TRUTH], ids=lambda rule: rule.name)
def test_a_rule_can_happen_and_holds(rule: Rule) -> None:
    dice = random.Random(rule.number)
    seen = 0
    for _ in range(4000):
        try:
            text = Instance(rule, dice).text
        except Misfit:
            continue
        before = parse_function(text)
        verify(before)
        after, hits = optimise(before)
        if rule.number not in hits:
            continue
        verify(after)
        assert print_function(before) == print_function(parse_function(text))
        types = [param.type for param in before.signature.params]
        for values in inputs(types, dice):
            assert prepare(after).run(values) == prepare(before).run(values), (
                f"{text}\n{values}\n{after}"
            )
        seen += 1
        if seen == INSTANCES:
            return
    assert seen, "it never happened"


@pytest.mark.parametrize("name", FOLDS)
def test_constants_come_to_what_the_reference_says(name: str) -> None:
    op = opcode_named(name)
    seen: set[int] = set()
    for type_ in (t for t in WIDTHS if t in op.over):
        some = [0, 1, 2, 7, type_.mask, type_.sign, type_.sign - 1, 0x5A & type_.mask]
        second = I16 if op.second else type_
        kinds = [second if kind == "S" else type_ for kind in op.operands]
        for values in product(*[[value & kind.mask for value in some] for kind in kinds]):
            lines = [f"v{i} = iconst.{kind} {value}"
                     for i, (kind, value) in enumerate(zip(kinds, values, strict=True))]  # fmt: skip
            results = ", ".join(f"v{10 + i}" for i in range(len(op.results)))
            lines += [
                f"{results} = {name}.{type_} {', '.join(f'v{i}' for i in range(len(kinds)))}",
                f"return {results}",
            ]
            types = ", ".join([str(type_), *("i8" for _ in op.results[1:])])
            body = "\n    ".join(lines)
            before = parse_function(f"function %f() -> {types} {{\nblock0:\n    {body}\n}}\n")
            after, hits = optimise(before)
            seen |= hits
            assert prepare(after).run(()) == prepare(before).run(()), body
    assert RULES.index(f"opt_fold_{name}") in seen


def test_everything_has_a_name_of_its_own_and_opcodes() -> None:
    assert len(set(RULES)) == len(RULES) == len(OPCODES)
