"""Where a value that leaves its block is alive.

One value at a time (Boissinot et al., "Fast liveness checking for SSA-form programs", the
variable-by-variable walk): from each block that uses the value without defining it, backwards
through the predecessors to the block that defines it. The cost is the size of the answer, and
nothing is assumed of the order of the blocks: irreducible loops and a definition laid out behind
its uses are fine.
"""

from __future__ import annotations

from backend.machine.vcode import VBlock


def walk_live_ins(
    blocks: list[VBlock], uses: dict[int, list[int]], home_block: list[int]
) -> tuple[list[list[int]], dict[int, tuple[int, int]]]:
    """The live-in virtual registers of each block, and the first and last block each one crosses.

    ``uses``: virtual register -> blocks that use it and don't define it; ``home_block``: the block
    that defines each. The extents are ``(first block it is live into, last block it is live out
    of)`` as positions in ``blocks``.
    """
    live_in: list[list[int]] = [[] for _ in blocks]
    extents: dict[int, tuple[int, int]] = {}
    mark = [-1] * len(blocks)
    for vreg, using in uses.items():
        home = home_block[vreg]
        first = len(blocks)
        last = -1
        stack = using
        while stack:
            block = stack.pop()
            if mark[block] == vreg:
                continue
            mark[block] = vreg
            live_in[block].append(vreg)
            if block < first:
                first = block
            for pred in blocks[block].preds:
                if pred > last:
                    last = pred
                if pred != home and mark[pred] != vreg:
                    stack.append(pred)
        extents[vreg] = (first, last)
    return live_in, extents
