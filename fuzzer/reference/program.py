"""A function made ready to run, and the loop that runs it.

Values have dense numbers, so that a run's state is one list of ints; constants sit in it from the start. An
instruction is a row

    (shape, function, result, T, operands..., index)

and a block a list of rows and a terminator. The rows' functions are the meanings of
:mod:`fuzzer.reference.semantics`; what touches memory or may trap on a condition is a closure over
(values, memory). One unit of fuel is an instruction, terminators included; a run that would spend more
than it has is :class:`~fuzzer.outcome.OutOfFuel`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backend.ir.entities import Block
from fuzzer.case import Input
from fuzzer.outcome import Outcome, OutOfFuel, Returned, Trapped
from fuzzer.reference.memory import Memory, Trap

DEFAULT_FUEL: Final = 10_000

# What a row's first element says of how its function is called.
EFFECT: Final = 0
"""function(values, memory)"""
UNARY: Final = 1
BINARY: Final = 2
MANY: Final = 3
"""Any number of operands; the fifth element is a tuple of them."""
SEVERAL: Final = 4
"""As MANY, and the third element is a tuple of results."""

JUMP: Final = 0
BRIF: Final = 1
BR_TABLE: Final = 2
RETURN: Final = 3
TRAP: Final = 4

Row = tuple[int, Callable[..., Any], Any, Any, Any, int, int]
Values = list[int]
Effect = Callable[[Values, Memory], None]
Edge = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Position of the block it leads to, the parameters there, the arguments."""


class BlockCode:
    """A block as it is run. ``rows``: without those of constants; ``cost``: its instructions."""

    __slots__ = ("cost", "edges", "id", "insts", "operands", "rows", "terminator")

    def __init__(self, block: Block) -> None:
        self.id = block.id
        self.cost = len(block.insts)
        self.rows: list[Row] = []
        self.terminator = TRAP
        #: condition, index or return values, by value number; the trap code for TRAP
        self.operands: Any = ()
        self.edges: list[Edge] = []
        #: numbers of the results of each instruction, for tracing
        self.insts: list[tuple[int, ...]] = []


Step = tuple[int, int, tuple[int, ...]]
"""One executed instruction: block number, index in it, the results' bits (none if it trapped)."""


class Program:
    """A function made ready to run. Made by :func:`fuzzer.reference.evaluate.prepare`."""

    __slots__ = ("_blocks", "_initial", "_needs_memory", "_parameters", "_slot_sizes")

    def __init__(
        self,
        blocks: list[BlockCode],
        initial: Values,
        parameters: int,
        slot_sizes: tuple[int, ...],
        needs_memory: bool,
    ) -> None:
        self._blocks = blocks
        self._initial = initial
        self._parameters = parameters
        self._slot_sizes = slot_sizes
        self._needs_memory = needs_memory

    def run(self, input: Input, memory: bytes = b"", fuel: int = DEFAULT_FUEL) -> Outcome:
        """What the function does on one input: unsigned bits of each parameter's type.

        ``memory``: the data region's bytes before. UndefinedBehaviour if the input makes the case
        invalid; ValueError if it has not one value for each parameter.
        """
        return self._run(input, memory, fuel, None)

    def trace(self, input: Input, memory: bytes = b"", fuel: int = DEFAULT_FUEL) -> list[Step]:
        """The instructions executed, in order; the last of them may have trapped."""
        steps: list[Step] = []
        self._run(input, memory, fuel, steps)
        return steps

    def _run(self, input: Input, memory: bytes, fuel: int, steps: list[Step] | None) -> Outcome:
        if len(input) != self._parameters:
            raise ValueError(f"{len(input)} values for {self._parameters} parameters")
        values = self._initial[:]
        values[: self._parameters] = input
        state = Memory(memory, self._slot_sizes) if self._needs_memory else None
        blocks = self._blocks
        code = blocks[0]
        index = 0
        try:
            while True:
                fuel -= code.cost
                rows = code.rows
                if fuel < 0:
                    left = fuel + code.cost
                    rows = [row for row in rows if row[6] < left]
                for shape, function, result, t, a, b, index in rows:  # noqa: B007  # read on a trap
                    if shape == BINARY:
                        values[result] = function(t, values[a], values[b])
                    elif shape == UNARY:
                        values[result] = function(t, values[a])
                    elif shape == EFFECT:
                        function(values, state)
                    elif shape == MANY:
                        values[result] = function(t, *[values[i] for i in a])
                    else:
                        for number, part in zip(result, function(t, *[values[i] for i in a]),
                                                strict=True):  # fmt: skip
                            values[number] = part
                if steps is not None:
                    _record(steps, code, values, fuel)
                if fuel < 0:
                    return OutOfFuel()
                terminator = code.terminator
                if terminator == JUMP:
                    edge = code.edges[0]
                elif terminator == BRIF:
                    edge = code.edges[0 if values[code.operands] else 1]
                elif terminator == RETURN:
                    after = memory if state is None else bytes(state.data)
                    return Returned(tuple([values[i] for i in code.operands]), after)
                elif terminator == BR_TABLE:
                    case = values[code.operands] + 1
                    edge = code.edges[case if case < len(code.edges) else 0]
                else:
                    index = code.cost - 1
                    raise Trap(code.operands)
                target, params, args = edge
                if len(params) == 1:
                    values[params[0]] = values[args[0]]
                elif params:
                    moved = [values[i] for i in args]
                    for param, value in zip(params, moved, strict=True):
                        values[param] = value
                code = blocks[target]
        except Trap as trap:
            if steps is not None and index < code.cost - 1:
                _record(steps, code, values, index - code.cost)
                steps.append((code.id, index, ()))
            after = memory if state is None else bytes(state.data)
            return Trapped(trap.code, after, (code.id, index))


def _record(steps: list[Step], code: BlockCode, values: Values, fuel: int) -> None:
    """Add a block's executed instructions; SSA keeps their results until the block is run again.

    ``fuel``: negative by as many instructions as were not executed.
    """
    executed = code.insts if fuel >= 0 else code.insts[: max(0, code.cost + fuel)]
    for index, results in enumerate(executed):
        steps.append((code.id, index, tuple([values[i] for i in results])))
