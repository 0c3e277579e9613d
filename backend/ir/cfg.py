"""The control-flow graph of a function: edges, orders, dominators, loops.

Blocks are numbered by their *position* in the layout; position 0 is the entry. Everything is a list
by position, built once for a function that does not change. Edges are in the order of the terminator's
targets, with repeats removed.

Dominators: K. Cooper, T. Harvey, K. Kennedy, "A Simple, Fast Dominance Algorithm", 2001.
"""

from __future__ import annotations

from backend.ir.entities import Function

UNREACHABLE = -1


class ControlFlow:
    """Graph of a function whose branch targets all exist (KeyError otherwise).

    ``position``: block number to position. ``succs``, ``preds``: positions. ``order``: positions of
    the reachable blocks in reverse post-order. ``idom``: immediate dominator by position; the
    entry's is itself, an unreachable block's is UNREACHABLE.
    """

    __slots__ = ("_enter", "_leave", "idom", "order", "position", "preds", "rank", "succs")

    def __init__(self, function: Function) -> None:
        blocks = function.blocks
        self.position: dict[int, int] = {block.id: i for i, block in enumerate(blocks)}
        position = self.position
        self.succs: list[list[int]] = []
        self.preds: list[list[int]] = [[] for _ in blocks]
        for number, block in enumerate(blocks):
            succs: list[int] = []
            if block.insts:
                inst = block.insts[-1]
                calls = inst.targets if inst.data is None else inst.successors()
                if calls:
                    succs = list(dict.fromkeys([position[call.block] for call in calls]))
            self.succs.append(succs)
            for succ in succs:
                self.preds[succ].append(number)
        self.order = self._reverse_post_order()
        #: place of a block in ``order``; UNREACHABLE for the others
        self.rank = [UNREACHABLE] * len(blocks)
        for rank, number in enumerate(self.order):
            self.rank[number] = rank
        self.idom = self._dominators()
        self._enter: list[int] = []
        self._leave: list[int] = []

    def _reverse_post_order(self) -> list[int]:
        succs = self.succs
        if not succs:
            return []
        seen = [False] * len(succs)
        seen[0] = True
        post: list[int] = []
        stack = [(0, iter(succs[0]))]
        while stack:
            number, rest = stack[-1]
            for succ in rest:
                if not seen[succ]:
                    seen[succ] = True
                    stack.append((succ, iter(succs[succ])))
                    break
            else:
                post.append(number)
                stack.pop()
        post.reverse()
        return post

    def _dominators(self) -> list[int]:
        order, rank, preds = self.order, self.rank, self.preds
        idom = [UNREACHABLE] * len(preds)
        if not order:
            return idom
        idom[0] = 0
        changed = True
        while changed:
            changed = False
            for number in order[1:]:
                new = UNREACHABLE
                for pred in preds[number]:
                    if idom[pred] == UNREACHABLE:
                        continue
                    if new == UNREACHABLE:
                        new = pred
                        continue
                    other = pred
                    while new != other:
                        while rank[new] > rank[other]:
                            new = idom[new]
                        while rank[other] > rank[new]:
                            other = idom[other]
                if idom[number] != new:
                    idom[number] = new
                    changed = True
        return idom

    def reachable(self, number: int) -> bool:
        return self.rank[number] != UNREACHABLE

    def dominates(self, a: int, b: int) -> bool:
        """Does every path from the entry to block ``b`` pass block ``a``? A block dominates itself.

        False if either is unreachable. O(1) after the first call.
        """
        if not self._enter:
            self._number_tree()
        enter = self._enter
        return enter[a] >= 0 and enter[a] <= enter[b] and self._leave[b] <= self._leave[a]

    def _number_tree(self) -> None:
        """Enter and leave times of a walk over the dominator tree."""
        children: list[list[int]] = [[] for _ in self.idom]
        for number in self.order[1:]:
            children[self.idom[number]].append(number)
        self._enter = [-1] * len(children)
        self._leave = [-1] * len(children)
        clock = 0
        stack = [0] if self.order else []
        while stack:
            number = stack.pop()
            if number < 0:
                self._leave[~number] = clock
                clock += 1
                continue
            self._enter[number] = clock
            clock += 1
            stack.append(~number)
            stack += children[number]

    def loops(self) -> dict[int, set[int]]:
        """Natural loops: header position to the positions in the loop, the header among them.

        Cycles that are entered at several places have no header and are not listed.
        """
        found: dict[int, set[int]] = {}
        for number in self.order:
            for header in self.succs[number]:
                if not self.dominates(header, number):
                    continue
                body = found.setdefault(header, {header})
                work = [number]
                while work:
                    member = work.pop()
                    if member not in body:
                        body.add(member)
                        work += [p for p in self.preds[member] if self.reachable(p)]
        return found

    def loop_depths(self) -> list[int]:
        """How many natural loops each block is in, by position."""
        depths = [0] * len(self.succs)
        for body in self.loops().values():
            for number in body:
                depths[number] += 1
        return depths
