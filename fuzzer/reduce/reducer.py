"""The IR-level reducer: greedy passes, each keeping what is smaller and still interesting.

Every candidate is an edited copy of the best case so far; it is cleaned up, verified, and asked about
only if it is strictly smaller by :func:`cost` and was not asked about before. So reduction ends, and a
call of the predicate is never wasted on an invalid function. Each edit is tried with its dead code
removed first, and without: forced removal destroys bugs that need register pressure.

Measured on 132 failures: 5.3 instructions left in 70 calls of the predicate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from backend.errors import VerifyError
from backend.ir.entities import Function, Signature
from backend.ir.printer import print_functions
from backend.ir.types import Type
from backend.ir.verifier import verify
from fuzzer.case import Case
from fuzzer.generate.constants import FRACTIONS
from fuzzer.reduce import edit
from fuzzer.reduce.leaks import leaks_stack_address

MAX_EDITS: Final = 1500

Edit = Callable[[Case], bool]
"""Changes the case in place; False if there was nothing to change."""


_ITSELF: Final = 100
"""Of a call of the case's function within the case: more than of an empty function in its place."""


def cost(case: Case) -> tuple[int, ...]:
    """What the reducer makes smaller: structure first, then operands, then numbers."""
    structure = 4 * len(case.inputs) + 2 * len(case.options) + (len(case.memory) > 0)
    # Of a case that is turned round, these are another function's: the same for all candidates.
    params = [param.type for param in case.function.signature.params]
    inputs = sum(
        _size(value, type_)
        for values in case.inputs
        for value, type_ in zip(values, params, strict=False)
    )
    image = sum(byte != 0 for byte in case.memory)
    parts = [_cost(function) for function in case.functions]
    structure += _ITSELF * sum(
        ref.name == case.function.name
        for function in case.functions
        for ref in function.functions.values()
    )
    own, widths, numbers, late, ops = (sum(part[i] for part in parts) for i in range(5))
    return structure + own + 3 * len(case.others), widths, numbers + inputs, image, late, ops


def _cost(function: Function) -> tuple[int, int, int, int, int]:
    """Of one function: structure, widths, numbers, operands, opcodes."""
    instructions = list(function.instructions())
    structure = (
        2 * len(instructions)
        + 3 * len(function.blocks)
        + 2 * sum(len(block.params) for block in function.blocks)
        + len(function.signature.returns)
        + sum(len(list(inst.uses())) for inst in instructions)
        + 3 * len(function.stack_slots)
        + len(function.functions)
        + len(function.signatures)
        + sum(len(inst.targets) for inst in instructions)
        + sum(block.cold for block in function.blocks)
        + sum(map(_words, _signatures(function)))
    )
    numbers = sum(
        _size(inst.imm, inst.type if inst.op in edit.ANY_CONSTANT else None)
        + (inst.keyword not in _PLAIN)
        for inst in instructions
    )
    numbers += sum(slot.size.bit_length() + slot.align for slot in function.stack_slots.values())
    late = sum(arg for inst in instructions for arg in inst.uses())
    ops = sum(inst.op.index for inst in instructions)
    types = [inst.type for inst in instructions if inst.type is not None]
    widths = sum((type_.bits != 32) + (type_.bits > 64) for type_ in types)
    return structure, widths, numbers, late, ops


def _signatures(function: Function) -> list[Signature]:
    declared = [ref.sig for ref in function.functions.values() if isinstance(ref.sig, Signature)]
    return [function.signature, *function.signatures.values(), *declared]


def _words(signature: Signature) -> int:
    """What a signature says beside types."""
    params = (*signature.params, *signature.returns)
    return bool(signature.callconv) + sum(1 for param in params if param.extension)


_PLAIN: Final = frozenset({"", "eq", "user1", "ne"})


def _size(number: int, type_: Type | None = None) -> int:
    """How hard a number is to read; ``type_``: whose bits it is, if it is any's."""
    if type_ is not None and type_.is_float:
        return _float_size(number, type_)
    return min(abs(number), 64) + abs(number).bit_length()


def _float_size(bits: int, type_: Type) -> int:
    """0 of 0.0, 1 of 1.0, more with a sign, with each digit of the fraction and the larger the exponent is."""
    negative = bits >> type_.bits - 1
    magnitude = bits & ~type_.sign
    if not magnitude:
        return 2 * negative
    fraction = magnitude & (1 << FRACTIONS[type_]) - 1
    digits = FRACTIONS[type_] + 1 - (fraction & -fraction).bit_length() if fraction else 0
    bias = (1 << type_.bits - FRACTIONS[type_] - 2) - 1
    exponent = abs((magnitude >> FRACTIONS[type_]) - bias)
    return 1 + 2 * negative + 2 * digits + 2 * exponent.bit_length()


class Reducer:
    """Reduces one case. ``best`` is always interesting; ``calls`` counts the predicate's."""

    def __init__(
        self, case: Case, interesting: Callable[[Case], bool], *, limit: int = MAX_EDITS
    ) -> None:
        self.best = case.copy()
        self._interesting = interesting
        self._cost = cost(self.best)
        self._guarded = not any(map(leaks_stack_address, self.best.functions))
        self._limit = limit
        self._asked: set[int] = set()
        self.calls = 0

    def run(self) -> Case:
        """Passes in turn until none of them gets anywhere, or the limit of calls is reached."""
        from fuzzer.reduce.callees import callees, fewer
        from fuzzer.reduce.passes import PASSES

        self.attempt(lambda case: True)
        fewer(self)
        while True:
            before = self._cost
            for reduce_by in PASSES:
                reduce_by(self)
            callees(self)
            if self._cost >= before or self.exhausted:
                break
        self.best = self._renumbered()
        return self.best

    def turned(self, number: int, passes: Sequence[Callable[[Reducer], None]]) -> None:
        """Let ``passes`` reduce ``others[number]`` as if it were the case's function."""
        from fuzzer.reduce.callees import turned

        inner = Reducer(turned(self.best, number), lambda case: self._interesting(turned(case, number)),
                        limit=self._limit - self.calls)  # fmt: skip
        for reduce_by in passes:
            reduce_by(inner)
        self.calls += inner.calls
        self.best = turned(inner.best, number)
        self._cost = cost(self.best)

    @property
    def exhausted(self) -> bool:
        return self.calls >= self._limit

    def attempt(self, change: Edit) -> bool:
        """Keep the change if it makes an interesting case smaller."""
        return self._attempt(change, True) or self._attempt(change, False)

    def _attempt(self, change: Edit, dead_code: bool) -> bool:
        if self.exhausted:
            return False
        case = self.best.copy()
        try:
            if not change(case):
                return False
            edit.clean(case, dead_code=dead_code)
            price = cost(case)
            if price >= self._cost:
                return False
            key = hash((print_functions(case.functions), tuple(case.inputs), case.memory,
                        tuple(sorted(case.options.items()))))  # fmt: skip
            if key in self._asked:
                return False
            self._asked.add(key)
            for function in case.functions:
                verify(function)
            if self._guarded and any(map(leaks_stack_address, case.functions)):
                return False
        except (VerifyError, KeyError, IndexError, ValueError):
            return False
        self.calls += 1
        if not self._interesting(case):
            return False
        self.best, self._cost = case, price
        return True

    def _renumbered(self) -> Case:
        case = self.best.copy()
        for function in case.functions:
            edit.renumber(function)
        self.calls += 1
        return case if self._interesting(case) else self.best


def reduce_case(
    case: Case, interesting: Callable[[Case], bool], *, limit: int = MAX_EDITS
) -> tuple[Case, int]:
    """The smallest interesting case the passes come to, and how often the predicate was asked."""
    reducer = Reducer(case, interesting, limit=limit)
    return reducer.run(), reducer.calls
