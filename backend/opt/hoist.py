"""Loop-invariant code motion: what a loop computes the same each time is computed before it.

A loop is a natural loop with a *preheader*, a block outside that goes to the header and nowhere else and is the only
one to enter it. Inner loops first, so that what no loop needs moves out of all of them.

Invariant: what moves has no effect, can't trap and reads no memory, so that it may be computed although the loop's body
never runs.
"""

from __future__ import annotations

from backend.ir.cfg import ControlFlow
from backend.ir.entities import Function, Inst, Value


def hoist(function: Function) -> bool:
    """Move invariant instructions of all loops; was there any but constants?"""
    flow = ControlFlow(function)
    loops = sorted(flow.loops().items(), key=lambda loop: len(loop[1]))
    if not loops:
        return False
    blocks = function.blocks
    home: dict[Value, int] = {}
    for number, block in enumerate(blocks):
        home.update(dict.fromkeys(block.params, number))
        for inst in block.insts:
            home.update(dict.fromkeys(inst.results, number))
    found = False
    for header, body in loops:
        outside = [pred for pred in flow.preds[header] if pred not in body]
        if len(outside) != 1 or len(flow.succs[outside[0]]) != 1:
            continue
        moved: list[Inst] = []
        for number in (n for n in flow.order if n in body):
            stay: list[Inst] = []
            for inst in blocks[number].insts:
                if _movable(inst) and all(home[arg] not in body for arg in inst.args):
                    moved.append(inst)
                    home.update(dict.fromkeys(inst.results, outside[0]))
                    found |= bool(inst.args)
                else:
                    stay.append(inst)
            blocks[number].insts = stay
        blocks[outside[0]].insts[-1:-1] = moved
    return found


def _movable(inst: Inst) -> bool:
    op = inst.op
    return bool(inst.results) and not op.side_effects and not op.reads
