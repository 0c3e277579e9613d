"""Dead code: blocks that nothing reaches, instructions and block parameters that nothing needs.

What is needed is found from the instructions that have effects; a parameter needs what each edge passes for it. So a
value that only goes round in a loop is dead, too.
"""

from __future__ import annotations

from backend.ir.cfg import ControlFlow
from backend.ir.entities import BlockCall, Function, Inst, Value


def remove_unreachable(function: Function) -> bool:
    """Drop blocks without a path from the entry; were there any?"""
    flow = ControlFlow(function)
    kept = [block for n, block in enumerate(function.blocks) if flow.reachable(n)]
    found = len(kept) < len(function.blocks)
    function.blocks = kept
    return found


def remove_dead(function: Function) -> tuple[bool, bool]:
    """Drop what nothing needs: were there such instructions, such parameters?"""
    sources: dict[Value, list[Value]] = {}
    made: dict[Value, Inst] = {}
    work: list[Value] = []
    params = {block.id: block.params for block in function.blocks}
    edges: list[BlockCall] = []
    for block in function.blocks:
        for inst in block.insts:
            if inst.op.side_effects:
                work += inst.args
            else:
                made.update(dict.fromkeys(inst.results, inst))
        for call in block.insts[-1].successors():
            edges.append(call)
            for param, arg in zip(params[call.block], call.args, strict=True):
                sources.setdefault(param, []).append(arg)
    needed: set[Value] = set()
    while work:
        value = work.pop()
        if value not in needed:
            needed.add(value)
            work += sources.get(value, ())
            if value in made:
                work += made[value].args
    return _drop_instructions(function, needed), _drop_parameters(function, edges, needed)


def _drop_instructions(function: Function, needed: set[Value]) -> bool:
    found = False
    for block in function.blocks:
        kept = [
            inst
            for inst in block.insts
            if inst.op.side_effects or not needed.isdisjoint(inst.results)
        ]
        found |= len(kept) < len(block.insts)
        block.insts = kept
    return found


def _drop_parameters(function: Function, edges: list[BlockCall], needed: set[Value]) -> bool:
    found = False
    kept: dict[int, list[int]] = {}
    for block in function.blocks[1:]:
        places = [i for i, param in enumerate(block.params) if param in needed]
        if len(places) < len(block.params):
            found = True
            kept[block.id] = places
            block.params = [block.params[i] for i in places]
    for call in edges:
        if call.block in kept:
            call.args = tuple([call.args[i] for i in kept[call.block]])
    return found
