"""Structures of several instructions or blocks: branches, switches, loops, pressure, funnels."""

from __future__ import annotations

from typing import Final

from backend.ir.entities import Block, BlockCall, Inst, Value
from backend.ir.opcodes import INT_CC, opcode_named
from backend.ir.types import I8, I32, Type
from fuzzer.generate.draft import Draft
from fuzzer.generate.operations import MAX_DEPTH, Form, Operation

_IADD: Final = opcode_named("iadd")
_ISUB: Final = opcode_named("isub")
_BAND: Final = opcode_named("band")
_BOR: Final = opcode_named("bor")
_BXOR: Final = opcode_named("bxor")
_ISHL: Final = opcode_named("ishl")
_USHR: Final = opcode_named("ushr")
_FSUB: Final = opcode_named("fsub")
_FMIN: Final = opcode_named("fmin")
_FCMP: Final = opcode_named("fcmp")
_ICMP: Final = opcode_named("icmp")
_JUMP: Final = opcode_named("jump")
_BRIF: Final = opcode_named("brif")
_BR_TABLE: Final = opcode_named("br_table")
_TRAP: Final = opcode_named("trap")

ARM: Final = 106
_NEAR: Final = 16
"""How many instructions back one is that is repeated."""
_MASKED_TRIPS: Final = 3
"""Most trips of a loop whose count is a value."""
_SIGN_TESTS: Final = ("slt", "sge", "sgt", "sle")
"""Conditions that a comparison with zero decides by the sign."""
DRAWN_TRAPS: Final = ("user1", "user2", "int_ovf", "user200", "bad_toint")


def funnel(g: Draft, operation: Operation) -> None:
    """Two shifts that meet in a disjunction: a rotation, or an extraction from a pair."""
    source = g.source
    type_ = g.draw_integer_type()
    high, low = g.operand(type_), g.operand(type_)
    left = source.int(1, type_.bits - 1)
    right = type_.bits - left if source.bool(0.9) else left
    up = g.shift(_ISHL, type_, high, left)
    down = g.shift(_USHR, type_, low, right)
    g.scope[type_].append(g.emit(_BOR, type_, (up, down)))


def again(g: Draft, operation: Operation) -> None:
    """An instruction of this block once more, as it was or but for its operands' order, one of them, or its condition:
    what has to be told apart where the same is not to be computed twice. Only if its result is in reach: others may
    hold addresses."""
    source, scope, types = g.source, g.scope, g.value_types
    near = [
        inst for inst in g.insts[-_NEAR:]
        if inst.args and inst.results and inst.results[0] in scope[types[inst.results[0]]]
        and not (inst.op.side_effects or inst.op.reads or inst.op.traps)
    ]  # fmt: skip
    form: Form | None = None
    if near:
        inst = near[-1 - source.int(0, _NEAR - 1) % len(near)]
        form = g.repertoire.form_of(inst, types)
    if form is None:
        g.add()
        return
    args, keyword = list(inst.args), inst.keyword
    change = source.int(0, 5)
    place = source.int(0, 2) % len(args)
    if change in (1, 2) and form.operands[place] is form.operands[place - 1]:
        args[place], args[place - 1] = args[place - 1], args[place]
    elif change == 3:
        args[place] = g.operand(form.operands[place])
    elif change == 4:
        keyword = g.draw_keyword(form.op.shape)
    for value, type_ in zip(g.made(form, args, keyword), form.results, strict=True):
        scope[type_].append(value)


def _carried(g: Draft) -> list[Type]:
    """Types of the values that a structure passes to the block after it: at most three."""
    types: list[Type] = []
    while len(types) < 3 and g.source.bool(0.65):
        types.append(g.draw_type())
    return types


def _arm(g: Draft, types: list[Type]) -> tuple[Block, Inst | None]:
    """A block with a region; its first block, and the jump to what follows unless it leaves."""
    source = g.source
    source.start(ARM)
    marks = g.marks()
    first = g.open_block()
    g.region()
    jump: Inst | None = None
    leave = source.int(0, 31)
    if leave == 31:
        newest = {type_: values[-1] for type_, values in g.scope.items() if values}
        g.early_returns.append((g.block, newest))
    elif leave == 30 and g.repertoire.traps:
        g.effect(_TRAP, None, keyword=DRAWN_TRAPS[source.int(0, len(DRAWN_TRAPS) - 1)])
    else:
        loose = g.loose(first, marks) if types else {}
        args = tuple([g.gathered(type_, loose) for type_ in types])
        jump = Inst(_JUMP, None, targets=(BlockCall(-1, args),))
        g.insts.append(jump)
    g.forget(marks)
    source.end()
    return first, jump


def _join(g: Draft, types: list[Type], jumps: list[Inst | None]) -> None:
    join = g.open_block(types)
    for jump in jumps:
        if jump is not None:
            jump.targets[0].block = join.id


def branch(g: Draft, operation: Operation) -> None:
    """An if with one arm or two; now and then with its arms the other way round."""
    if g.depth >= MAX_DEPTH:
        g.add()
        return
    source = g.source
    condition = _condition(g)
    types = _carried(g)
    branch = Inst(_BRIF, None, (condition,))
    g.insts.append(branch)
    g.depth += 1
    then, then_jump = _arm(g, types)
    if types or source.bool(0.6):
        other, other_jump = _arm(g, types)
        g.depth -= 1
        if then_jump is None and other_jump is None:
            other_jump = _revive(g, types)
        _join(g, types, [then_jump, other_jump])
        branch.targets = (BlockCall(then.id), BlockCall(other.id))
    else:
        g.depth -= 1
        _join(g, types, [then_jump])
        branch.targets = (BlockCall(then.id), BlockCall(g.block.id))
    if source.bool(0.2):
        branch.targets = branch.targets[::-1]


def _condition(g: Draft) -> Value:
    """What a branch tests: a value, a comparison, often with zero, or one bit."""
    source = g.source
    if g.floats and source.bool(0.4):
        return _float_condition(g)
    way = source.int(0, 7)
    if way == 0:
        return g.operand(I8)
    type_ = g.draw_integer_type()
    if way == 1:
        upper = source.bool(0.4) and g.repertoire.shifts
        return _upper(g, type_) if upper else g.truth(type_)
    if way in (5, 6):
        if source.bool(0.3):
            bit = g.operand(type_)
        else:
            bit = g.constant(type_, 1 << source.int(0, type_.bits - 1))
        tested = g.emit(_BAND, type_, (g.operand(type_), bit))
        if way == 5:
            return tested
        keyword = INT_CC[source.int(0, 1)]
    else:
        tested = g.operand(type_)
        keyword = INT_CC[source.int(0, len(INT_CC) - 1)]
    if way == 3:
        keyword = _SIGN_TESTS[source.int(0, 3)]
    zero = way in (3, 4, 6)
    other = g.constant(type_, 0) if zero else g.operand(type_)
    value = g.compare(_ICMP, type_, tested, other, keyword)
    if source.bool(0.2):
        g.scope[I8].append(value)
    return value


def _upper(g: Draft, type_: Type) -> Value:
    """A value whose lower half is empty: a test of less than the whole takes it for zero."""
    return g.shift(_ISHL, type_, g.operand(type_), type_.bits // 2)


def _float_condition(g: Draft) -> Value:
    """A comparison of floats, now and then with zero."""
    source = g.source
    kinds = [type_ for type_ in g.repertoire.values if type_.is_float]
    type_ = kinds[source.int(0, 1) % len(kinds)]
    keyword = g.draw_keyword(_FCMP.shape)
    tested = g.operand(type_)
    other = g.constant(type_, 0) if source.bool(0.2) else g.operand(type_)
    value = g.compare(_FCMP, type_, tested, other, keyword)
    if source.bool(0.2):
        g.scope[I8].append(value)
    return value


def _revive(g: Draft, types: list[Type]) -> Inst:
    """Every arm left: make the last one fall through after all, so that code goes on."""
    if g.early_returns and g.early_returns[-1][0] is g.block:
        g.early_returns.pop()
    else:
        g.insts.pop()
    args = tuple([g.constant(type_, 0) for type_ in types])
    jump = Inst(_JUMP, None, targets=(BlockCall(-1, args),))
    g.insts.append(jump)
    return jump


def switch(g: Draft, operation: Operation) -> None:
    """A br_table of one to six targets over one to four arms."""
    if g.depth >= MAX_DEPTH:
        g.add()
        return
    source = g.source
    count = source.int(0, 5)
    index = g.operand(I32)
    if source.bool(0.7):
        index = g.emit(_BAND, I32, (index, g.constant(I32, 7)))
    types = _carried(g)
    branch = Inst(_BR_TABLE, None, (index,))
    g.insts.append(branch)
    g.depth += 1
    arms = [_arm(g, types) for _ in range(1 + min(count, 3))]
    g.depth -= 1
    jumps = [jump for _, jump in arms]
    if all(jump is None for jump in jumps):
        jumps.append(_revive(g, types))
    _join(g, types, jumps)
    targets = [BlockCall(arms[i % len(arms)][0].id) for i in range(1 + count)]
    branch.targets = tuple(targets)


def loop(g: Draft, operation: Operation) -> None:
    """A loop that counts down, tested at its end or at its start, where it may not be entered at all; at most 64
    trips over all nesting levels."""
    source = g.source
    trips = source.int(1, g.limits.trips)
    if g.depth >= MAX_DEPTH or g.trips * max(trips, _MASKED_TRIPS) > 64:
        g.add()
        return
    first = source.bool(0.3)
    types = _carried(g)
    if first and source.bool(0.5):
        trips = _MASKED_TRIPS
        counter = g.emit(_BAND, I32, (g.operand(I32), g.constant(I32, trips)))
    else:
        counter = g.constant(I32, trips)
    start = tuple([g.operand(type_) for type_ in types])
    enter = Inst(_JUMP, None, targets=(BlockCall(-1, (counter, *start)),))
    g.insts.append(enter)
    g.depth += 1
    g.trips *= trips
    marks = g.marks()
    header = g.open_block([I32, *types])
    enter.targets[0].block = header.id
    test = Inst(_BRIF, None, (header.params[0],))
    body = header
    if first:
        g.insts.append(test)
        body = g.open_block()
    source.start(ARM)
    g.region()
    source.end()
    loose = g.loose(header, marks) if types else {}
    carried = tuple([g.gathered(type_, loose) for type_ in types])
    one = g.constant(I32, 1)
    left = g.emit(_ISUB, I32, (header.params[0], one))
    again = BlockCall(header.id, (left, *carried))
    if first:
        g.insts.append(Inst(_JUMP, None, targets=(again,)))
    else:
        test = Inst(_BRIF, None, (left,))
        g.insts.append(test)
    g.forget(marks)
    g.depth -= 1
    g.trips //= trips
    after = g.open_block(types)
    if first:
        test.targets = (BlockCall(body.id), BlockCall(after.id, tuple(header.params[1:])))
    else:
        test.targets = (again, BlockCall(after.id, carried))


def pressure(g: Draft, operation: Operation) -> None:
    """Many values made, kept over a region, and only then used: what runs out of registers."""
    source = g.source
    type_ = g.draw_type()
    count = 4 + (source.int(0, 36) if source.bool(0.3) else 0)
    seeds = [g.operand(type_), g.operand(type_)]
    live = []
    for i in range(count):
        step = g.sum(type_, seeds[0], seeds[1])
        live.append(step)
        seeds = [step, seeds[i & 1]]
    if g.depth < MAX_DEPTH:
        g.depth += 1
        g.region()
        g.depth -= 1
    total = live[0]
    for value in live[1:]:
        if type_.is_float:
            total = g.arithmetic(_FMIN if value & 1 else _FSUB, type_, total, value)
        else:
            total = g.emit(_BXOR if value & 1 else _ISUB, type_, (total, value))
