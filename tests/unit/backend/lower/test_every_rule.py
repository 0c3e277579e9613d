"""Every lowering rule fires, and is right when it does.

A CLIF function is made from each rule's own pattern: parameters for what it binds to registers, constants that
meet its condition, the inner instructions it looks for. It is compiled and run under the emulator on
boundary values, against the reference interpreter, with every check of the fuzzer.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice, product

import pytest

from backend.errors import Unsupported
from backend.ir.entities import (
    AbiParam,
    Block,
    BlockCall,
    Function,
    FunctionRef,
    Inst,
    Signature,
    StackSlot,
)
from backend.ir.opcodes import INT_CC, Opcode, opcode_named, resolve, second_types
from backend.ir.types import I8, I32, I64, Type, type_named
from backend.ir.verifier import verify
from backend.isa import ISA_NAMES, isa_named
from backend.isa.isa import Isa
from backend.lower.driver import Lowering
from backend.lower.patterns import Leaf, Node
from backend.lower.rules import Rule
from fuzzer.case import DATA_BASE, Case
from fuzzer.targets import target_named
from fuzzer.trial import run_trial
from tests.few_results import returnable

ISAS = tuple(map(isa_named, ISA_NAMES))
BUILTIN = target_named("builtin")
N64 = tuple(map(type_named, ("i8", "i16", "i32", "i64")))
#: rules that only fire when the group of those before them is switched off, with that group
BEHIND = {
    ("const_wide", "i64"): "pool",
    ("bitselect", "i64"): "vector",
    ("const_64", "i64"): "pool",
}
OFFSETS = (0, 8, -8, 3, 4096, 1 << 20, -300, 0x12345)


def constants(type_: Type) -> list[int]:
    bits, mask = type_.bits, type_.mask
    wanted = [0, 1, 2, 3, 5, 8, bits - 1, bits - 3, bits + 1, bits // 2, mask, mask - 4, mask - 0xFFF, 0x10, 0xF0,
              0x1000, 0x123000, 1 << (bits - 1), 1 << (bits // 2), 0x00FF00FF, 0x12345678, 1 << 40, 4096 * 5,
              0x00FF00FF_00FF00FF,
              0xFF, 0xFFFF, 0xF000_0000,
              0x123456789ABCDEF0, 0xFFFF_1234_FFFF_5678, 0xFF0, 0x20, mask - 0x12345, 254, 24, -300 & mask]  # fmt: skip
    return list(dict.fromkeys(k & mask for k in wanted))


class Builder:
    """A function of one block from a pattern, with one choice for everything the pattern leaves open."""

    def __init__(self, pick: random.Random) -> None:
        self.pick = pick
        self.function = Function("%f")
        self.params: list[int] = []
        #: parameters that may point to memory: no sum of two others does
        self.bases: set[int] = set()
        self.named: dict[str, int] = {}
        self.block = Block(0)
        self.function.blocks.append(self.block)

    def param(self, type_: Type) -> int:
        value = self.function.new_value(type_)
        self.params.append(value)
        return value

    def inst(self, op: Opcode, type_: Type | None, args: tuple[int, ...], results: tuple[Type, ...],
             **attributes: object) -> Inst:  # fmt: skip
        made = Inst(
            op, type_, args, tuple(self.function.new_value(t) for t in results), **attributes
        )  # type: ignore[arg-type]  # an Inst's keywords
        self.block.insts.append(made)
        return made

    def leaf(self, leaf: Leaf, type_: Type) -> int:
        if leaf.kind == "const":
            value = 0 if self.pick.random() < 0.3 else self.pick.choice(constants(type_))
            return self.inst(opcode_named("iconst"), type_, (), (type_,), imm=value).results[0]
        if leaf.kind == "cond" and self.pick.random() < 0.7:
            over = self.pick.choice(N64)
            args = (self.param(over), self.param(over))
            return self.inst(
                opcode_named("icmp"), over, args, (I8,), keyword=self.pick.choice(INT_CC)
            ).results[0]
        value = self.named.get(leaf.name, -1)
        if value < 0 or self.function.value_types[value] is not type_:
            value = self.named[leaf.name] = self.param(type_)
        if leaf.name in ("a", "x") and type_ is I64:
            self.bases.add(value)
        return value

    def operand(self, arg: Leaf | Node, type_: Type) -> int:
        return (
            self.leaf(arg, type_) if isinstance(arg, Leaf) else self.node(arg.op, arg.args, type_)
        )

    def operands(self, op: Opcode, args: tuple[Leaf | Node, ...], control: Type | None, second: Type | None
                 ) -> tuple[int, ...]:  # fmt: skip
        types = [resolve(term, control, second) for term in op.operands]
        made = []
        for arg, type_ in zip(args, types, strict=True):
            assert type_ is not None
            fused = isinstance(arg, Leaf) and arg.kind == "cond"
            made.append(self.operand(arg, I8 if fused and self.pick.random() < 0.7 else type_))
        return tuple(made)

    def node(self, op: Opcode, args: tuple[Leaf | Node, ...], result: Type) -> int:
        control = self.pick.choice(N64) if op.name == "icmp" else result
        second: Type | None = None
        if op.where == "S<T":
            narrower = [t for t in N64 if t.bits < result.bits]
            if not narrower:
                raise Unsupported("no narrower type")
            second = self.pick.choice(narrower)
        elif op.second:
            second = self.pick.choice(N64)
        return self.inst(op, control, self.operands(op, args, control, second), (result,),
                         keyword=self.pick.choice(INT_CC) if op.name == "icmp" else "").results[0]  # fmt: skip

    def returning(self, values: tuple[int, ...]) -> Function:
        function = self.function
        self.inst(opcode_named("return"), None, values, ())
        types = function.value_types
        self.block.params = self.params
        function.signature = Signature(
            tuple(AbiParam(types[p]) for p in self.params),
            tuple(AbiParam(types[v]) for v in values),
        )
        return function


def build(made: Builder, rule: Rule, root: str, type_: Type) -> Function:
    if root.startswith("return_call"):
        return tail_calling(made, root)
    if root in ("call", "call_indirect", "func_addr"):
        return calling(made, root)
    pick = made.pick
    args = rule.pattern.args
    if root == "const":
        value = pick.choice(constants(type_))
        return made.returning(
            made.inst(opcode_named("iconst"), type_, (), (type_,), imm=value).results
        )
    if root == "cmp":
        op = opcode_named("icmp")
        inst = made.inst(
            op, type_, made.operands(op, args, type_, None), (I8,), keyword=pick.choice(INT_CC)
        )
        return made.returning(inst.results)
    if root == "nz":
        op = opcode_named("select")
        tested = made.operand(args[0], type_)
        operands = (tested, made.param(I32), made.param(I32))
        return made.returning(made.inst(op, I32, operands, (I32,)).results)
    op = opcode_named(root)
    if root == "icmp":
        compared = (made.param(type_), made.param(type_))
        return made.returning(made.inst(op, type_, compared, (I8,), keyword="sle").results)
    second = type_named(rule.second) if rule.second else pick.choice(N64)
    if op.shape in ("brif", "br_table"):
        return branching(made, op, args, type_)
    control = type_ if op.over else None
    operands = (
        made.operands(op, args, control, second if op.over else type_)
        if op.operands != ("...",)
        else ()
    )
    results = tuple(
        t for t in (resolve(term, type_, second) for term in op.results) if t is not None
    )
    if root == "stack_addr":
        made.function.stack_slots[0] = StackSlot(32, 16)
        address = made.inst(op, type_, (), results, ref=0, imm=8).results[0]
        stored = made.param(I64)
        made.inst(opcode_named("store"), I64, (stored, address), ())
        return made.returning(made.inst(opcode_named("load"), I64, (address,), (I64,)).results)
    if op.terminator:
        if root == "return":
            return made.returning((made.param(I64),))
        made.inst(op, None, (), (), keyword="user7")
        return made.function
    inst = made.inst(op, control, operands, results, keyword="user3" if "code" in op.traps else "",
                     imm=pick.choice(OFFSETS) if op.shape in ("load", "store") else 0)  # fmt: skip
    return made.returning(inst.results)


def calling(made: Builder, root: str) -> Function:
    """A function that calls one from outside, by name or by address, or takes its address."""
    signature = Signature((AbiParam(I64),), (AbiParam(I64),))
    made.function.signatures[0] = signature
    made.function.functions[0] = FunctionRef("%outside", 0, colocated=made.pick.random() < 0.5)
    value = made.param(I64)
    if root == "call":
        return made.returning(made.inst(opcode_named(root), None, (value,), (I64,), ref=0).results)
    (address,) = made.inst(opcode_named("func_addr"), I64, (), (I64,), ref=0).results
    if root == "func_addr":
        same = made.inst(opcode_named("icmp"), I64, (address, address), (I8,), keyword="eq")
        return made.returning(same.results)
    call = made.inst(opcode_named(root), None, (address, value), (I64,), sig=0)
    return made.returning(call.results)


def tail_calling(made: Builder, root: str) -> Function:
    """A function that ends in a call of one from outside."""
    signature = Signature((AbiParam(I64),), (AbiParam(I64),), "tail")
    function = made.function
    function.signatures[0] = signature
    function.functions[0] = FunctionRef("%outside", 0)
    value = made.param(I64)
    args: tuple[int, ...] = (value,)
    if root == "return_call_indirect":
        args = (*made.inst(opcode_named("func_addr"), I64, (), (I64,), ref=0).results, value)
    made.inst(
        opcode_named(root), None, args, (), **({"ref": 0} if args == (value,) else {"sig": 0})
    )
    function.signature = signature
    made.block.params = made.params
    return function


def branching(made: Builder, op: Opcode, args: tuple[Leaf | Node, ...], type_: Type) -> Function:
    function = made.function
    count = 2 if op.name == "brif" else 4
    tested = made.operand(args[0], type_ if op.name == "brif" else I32)
    made.inst(op, None, (tested,), (), targets=tuple(BlockCall(n + 1) for n in range(count)))
    made.block.params = made.params
    for n in range(count):
        value = function.new_value(I32)
        function.blocks.append(Block(n + 1, [], [
            Inst(opcode_named("iconst"), I32, (), (value,), imm=n + 10),
            Inst(opcode_named("return"), None, (value,)),
        ]))  # fmt: skip
    types = function.value_types
    function.signature = Signature(tuple(AbiParam(types[p]) for p in made.params), (AbiParam(I32),))
    return function


def features(rule: Rule) -> dict[str, bool]:
    return {rule.needs: True} if rule.needs else {}


def firing(
    isa: Isa, rule: Rule, root: str, type_: Type, count: int, pick: random.Random
) -> Iterator[Builder]:
    """Functions on which the rule fires."""
    without = BEHIND.get((rule.name, type_.name), "")
    for _ in range(20000):
        try:
            made = Builder(pick)
            function = build(made, rule, root, type_)
        except Unsupported:
            continue
        dispatch = isa.rule_set.dispatch(without, tuple(features(rule)))
        lowering = Lowering(returnable(function, isa)[0], isa, dispatch)
        lowering.run()
        if rule.index in lowering.hits:
            yield made
            count -= 1
            if not count:
                return


def inputs(made: Builder, isa: Isa) -> list[tuple[int, ...]]:
    function, pick = made.function, made.pick
    memory = any(inst.op.reads or inst.op.writes for inst in function.instructions())
    pools = []
    for value, param in zip(made.params, function.signature.params, strict=True):
        mask = param.type.mask
        pool = [
            k & mask
            for k in (
                0,
                1,
                2,
                -1,
                -2,
                7,
                100,
                mask >> 1,
                (mask >> 1) + 1,
                0x55555555_55555555,
                0x8000000000000000,
                32,
                12345,
            )
        ]
        if memory and isa.name == "x86_64":
            # Unicorn looks at 52 bits of an address only.
            pool = [k for k in pool if not 1 << 50 <= k < (1 << 64) - (1 << 50)]
        if memory and value in made.bases:
            pool += [
                DATA_BASE,
                DATA_BASE + 64,
                DATA_BASE - 4096,
                DATA_BASE + 300,
                DATA_BASE + 8 - 0x12345,
            ]
        pools.append(pool)
    if not pools:
        return [()]
    for pool in pools:
        pick.shuffle(pool)
    every = list(islice(product(*pools), 500))
    return every if len(every) < 24 else pick.sample(every, 24)


def instances() -> list[tuple[Isa, Rule, str, str]]:
    return [
        (isa, rule, root, name)
        for isa in ISAS
        for rule in isa.rules
        for root in rule.pattern.roots
        for name in (rule.types if needs_types(root) else ("i64",))
        if has(isa, rule, root, name) and not about_floats(rule, root, name)
    ]


def about_floats(rule: Rule, root: str, name: str) -> bool:
    """Rules that tests/unit/backend/isa/aarch64/test_floats.py makes fire."""
    types = {name, rule.second} if needs_types(root) else {root[:3]}
    return root == "bitcast" or any(kind[:1] == "f" and kind[1:].isdigit() for kind in types)


def needs_types(root: str) -> bool:
    if root in ("cmp", "nz", "const"):
        return True
    op = opcode_named(root)
    return bool(op.over) or op.operands[:1] == ("S",)


def has(isa: Isa, rule: Rule, root: str, name: str) -> bool:
    if root in ("cmp", "nz", "const"):
        return True
    op, type_ = opcode_named(root), type_named(name)
    if op.over and type_ not in op.over:
        return False
    if rule.second and type_named(rule.second) not in second_types(op, type_):
        return False
    return not isa.rule_set._lacks(rule, root, name)


@pytest.mark.parametrize(
    ("isa", "rule", "root", "name"),
    instances(),
    ids=lambda v: v.name if isinstance(v, (Rule, Isa)) else v,
)
def test_the_rule_fires_and_is_right(isa: Isa, rule: Rule, root: str, name: str) -> None:
    pick = random.Random(f"{rule.name} {root} {name}")
    found = 0
    for made in firing(isa, rule, root, type_named(name), 2, pick):
        verify(made.function)
        found += 1
        options = {"disabled_rules": BEHIND.get((rule.name, name), ""), **features(rule)}
        given = inputs(made, isa)
        for function in returnable(made.function, isa):
            case = Case(
                function,
                given,
                memory=bytes(range(256)) * 16,
                isa=isa.name,
                options=options,
            )  # type: ignore[arg-type]  # narrower values
            trial, violations = run_trial(case, BUILTIN, thorough=True)
            assert not violations, [v.detail for v in violations]
            assert not trial.unsupported
            assert trial.code is not None
            assert rule.index in trial.code.rule_hits
    assert found
