"""Which values of a case may be the address of a stack slot: an access by one is not an access of the data region.

``own``: made from a slot of the same function, so that CLIF leaves an access beyond the slot undefined. ``foreign``:
perhaps from a slot of a caller: what came in as an argument, or out of memory. What is found is more than there is:
uses are followed until nothing is added, with no regard to their order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backend.ir.entities import Function, Inst, Value
from backend.ir.types import I64


class Pointers:
    """What may be a stack address, for each function of a case by name."""

    def __init__(self, functions: Sequence[Function]) -> None:
        self.own: dict[str, set[Value]] = {f.name: set() for f in functions}
        self.foreign: dict[str, set[Value]] = {f.name: set() for f in functions}
        if not any(function.stack_slots for function in functions):
            return
        for function in functions:
            seeds = (i for i in function.instructions() if i.op.name == "stack_addr")
            _follow(function, self.own[function.name], seeds)
        before = -1
        while before != (before := self._count()):
            self._spread(functions)

    def _count(self) -> int:
        return sum(map(len, self.foreign.values()))

    def _spread(self, functions: Sequence[Function]) -> None:
        """From arguments to parameters and global values, and, if an address is in memory anywhere, to all that is
        loaded."""
        named = {function.name: function for function in functions}
        stored = False
        for function in functions:
            own, foreign = self.own[function.name], self.foreign[function.name]
            addresses = own | foreign
            for inst in function.instructions():
                if inst.op.shape in ("store", "slot_store"):
                    stored = stored or inst.args[0] in addresses
                elif inst.op.shape in ("call", "call_indirect"):
                    if addresses.isdisjoint(inst.args):
                        continue
                    foreign.update(inst.results)
                    args = inst.args[inst.ref < 0 :]
                    for callee in _callees(function, inst, named):
                        found = self.foreign[callee.name]
                        found.update(
                            p
                            for p, a in zip(callee.entry.params, args, strict=False)
                            if a in addresses
                        )
        for function in functions:
            foreign = self.foreign[function.name]
            context = not foreign.isdisjoint(_contexts(function))
            seeds = [
                i for i in function.instructions()
                if (stored and i.op.reads and any(function.value_types[r] is I64 for r in i.results))
                or ((stored or context) and i.op.name == "global_value")
            ]  # fmt: skip
            _follow(function, foreign, seeds)


def _contexts(function: Function) -> list[Value]:
    """The parameters that global values begin at."""
    params = zip(function.entry.params, function.signature.params, strict=True)
    return [value for value, param in params if param.purpose == "vmctx"]


def _callees(function: Function, inst: Inst, named: dict[str, Function]) -> Iterable[Function]:
    """Who may be called: of a call by address, anyone."""
    if inst.ref < 0:
        return named.values()
    found = named.get(function.functions[inst.ref].name)
    return () if found is None else (found,)


def _follow(function: Function, derived: set[Value], seeds: Iterable[Inst]) -> None:
    """Add to ``derived`` the results of ``seeds`` and all that is made of its values."""
    for inst in seeds:
        derived.update(inst.results)
    params = {block.id: block.params for block in function.blocks}
    before = -1
    while before != (before := len(derived)):
        for inst in function.instructions():
            if not inst.op.reads and not derived.isdisjoint(inst.args):
                derived.update(inst.results)
            for call in inst.targets:
                for param, arg in zip(params[call.block], call.args, strict=True):
                    if arg in derived:
                        derived.add(param)
