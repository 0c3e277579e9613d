"""What had to happen, step by step: the reference's trace as visits to blocks, with every value known then.

A value of SSA form has the bits it got when its block was last visited. So what a value had to be while a block is
visited is in that visit's ``values``, block parameters included; what was not computed (the reference trapped
before) is not.

Stack addresses have other bits in the reference than in the machine; :func:`stack_dependent` says which values are made
of them, :func:`slot_of` reads one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from backend.ir.entities import Block, BlockCall, Function, Inst, Value
from fuzzer.case import Case, byte_order_of
from fuzzer.outcome import Outcome, Trapped
from fuzzer.reference.evaluate import prepare
from fuzzer.reference.memory import SLOT_BASE, SLOT_STRIDE
from fuzzer.reference.program import Step


@dataclass(slots=True)
class Visit:
    """One visit to a block. ``values``: unsigned bits of all that were computed by its end, by value, where some may be
    open (:func:`fuzzer.reference.open_bits.parts`); ``executed``: how many of its instructions were begun;
    ``trapped``: the last of them trapped.
    """

    block: int
    values: dict[Value, int]
    executed: int = 0
    trapped: bool = False
    edge: BlockCall | None = None
    """The edge it was left by."""


@dataclass(slots=True)
class History:
    """A function's visits in order. ``position``: of a block's first instruction in layout order; ``recurs``: may the
    function be entered again before it is left, or in its own place?"""

    function: Function
    visits: list[Visit]
    position: dict[int, int] = field(default_factory=dict)
    insts: list[Inst] = field(default_factory=list)
    blocks: dict[int, Block] = field(default_factory=dict)
    recurs: bool = False


def history_of(case: Case, index: int, outcome: Outcome) -> History:
    """The reference's execution of the case's function on its input ``index``, which came to ``outcome``; what it calls
    is one step."""
    function, inputs = case.function, case.inputs[index]
    steps = prepare(function, byte_order_of(case.isa), others=case.others).trace(
        inputs, case.memory
    )
    made = History(function, [])
    named = (ref.name for each in case.functions for ref in each.functions.values())
    made.recurs = function.name in named
    for block in function.blocks:
        made.position[block.id] = len(made.insts)
        made.insts += block.insts
        made.blocks[block.id] = block
    values = dict(zip(function.entry.params, inputs, strict=True))
    current: Visit | None = None
    for step in steps:
        if current is None or step[1] == 0:
            if current is not None:
                current.edge = _edge(made.blocks[current.block].terminator, values)
                values = dict(values)
                _pass_arguments(made, current.edge, values)
            current = Visit(step[0], values)
            made.visits.append(current)
        _record(made, current, step)
    if current is not None:
        current.trapped = isinstance(outcome, Trapped)
    return made


def _record(made: History, visit: Visit, step: Step) -> None:
    block, index, results = step
    inst = made.blocks[block].insts[index]
    visit.executed = index + 1
    if len(results) == len(inst.results):
        visit.values.update(zip(inst.results, results, strict=True))


def _edge(terminator: Inst, values: dict[Value, int]) -> BlockCall:
    """The edge that a jump, brif or br_table takes."""
    targets = terminator.targets
    if terminator.op.name == "brif":
        return targets[0 if values[terminator.args[0]] else 1]
    if terminator.op.name == "br_table":
        case = values[terminator.args[0]] + 1
        return targets[case if case < len(targets) else 0]
    return targets[0]


def _pass_arguments(made: History, edge: BlockCall, values: dict[Value, int]) -> None:
    passed = [values[arg] for arg in edge.args]
    values.update(zip(made.blocks[edge.block].params, passed, strict=True))


def stack_dependent(function: Function) -> set[Value]:
    """Values computed from the address of a stack slot or a function: their bits are the machine's own."""
    found: set[Value] = set()
    known = -1
    while known < len(found):
        known = len(found)
        for inst in function.instructions():
            if inst.op.name in ("stack_addr", "func_addr") or (
                not inst.op.reads and not found.isdisjoint(inst.args)
            ):
                found.update(inst.results)
            for call in inst.targets:
                params = function.block(call.block).params
                found.update(p for p, a in zip(params, call.args, strict=True) if a in found)
    return found


_NEAR: Final = SLOT_STRIDE // 2


def slot_of(bits: int) -> tuple[int, int] | None:
    """(position among the function's slots, offset) of a stack address of the reference; None if it is none."""
    slot, near = divmod(bits - SLOT_BASE + _NEAR, SLOT_STRIDE)
    return (slot, near - _NEAR) if 0 <= slot < 1 << 16 else None
