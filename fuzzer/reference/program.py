"""A function made ready to run, and the loop that runs it.

Values have dense numbers, so that a run's state is one list of ints; constants sit in it from the start. An
instruction is a row

    (shape, function, result, T, operands..., index)

and a block a list of rows and a terminator. The rows' functions are the meanings of
:mod:`fuzzer.reference.semantics`; what touches memory or may trap on a condition is a closure over
(values, memory). One unit of fuel is an instruction, terminators included; a run that would spend more
than it has is :class:`~fuzzer.outcome.OutOfFuel`.

A block that calls a program is cut in parts there, so that one loop runs them all: a call puts what waits for it
on a stack, a return takes it off. Python's own stack does not grow with the depth of calls.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from backend.ir.entities import Inst, Value
from backend.ir.types import Type
from fuzzer.case import DATA_BASE, Input
from fuzzer.outcome import Outcome, OutOfFuel, Returned, Trapped
from fuzzer.reference.memory import (
    ADDRESS_MASK,
    SLOT_STRIDE,
    Memory,
    Trap,
    UndefinedBehaviour,
)
from fuzzer.reference.open_bits import parts

DEFAULT_FUEL: Final = 10_000
DEFAULT_DEPTH: Final = 64
"""Calls in calls that a run may make: machine code has to do it on the executor's stack."""

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
CALL: Final = 5
"""Operands: a :class:`Call`. The block goes on in ``Call.rest``."""
TAIL_CALL: Final = 6
"""As CALL, but the activation ends. ``rest`` returns the results, for a callee that is no program."""

Row = tuple[int, Callable[..., Any], Any, Any, Any, int, int]
Values = list[int]
Effect = Callable[[Values, Memory], None]
Edge = tuple[int, tuple[int, ...], tuple[int, ...]]
"""Position of the block it leads to, the parameters there, the arguments."""
Types = tuple[Type, ...]


class BlockCode:
    """A block as it is run, or a part of one that calls. ``rows``: without those of constants; ``cost``: its
    instructions, the first of which is the block's ``first``-th. After a call a part begins with it.
    """

    __slots__ = ("cost", "edges", "first", "id", "insts", "operands", "rows", "terminator")

    def __init__(self, id_: int, cost: int, first: int = 0) -> None:
        self.id = id_
        self.cost = cost
        self.first = first
        self.rows: list[Row] = []
        self.terminator = TRAP
        #: condition, index or return values, by value number; the trap code for TRAP; the Call of a call
        self.operands: Any = ()
        self.edges: list[Edge] = []
        #: the instructions from the first on, and perhaps those of later parts, for tracing
        self.insts: list[Inst] = []


Step = tuple[int, int, tuple[int, ...]]
"""One executed instruction: block number, index in it, the results' bits, open ones 0 (no results if it trapped)."""


class Outside:
    """A function that is no CLIF: one of a library, or one from outside the case. ``run``: the arguments' bits to
    the results'."""

    __slots__ = ("params", "results", "run")

    def __init__(
        self, params: Types, results: Types, run: Callable[[Memory, list[int]], tuple[int, ...]]
    ) -> None:
        self.params = params
        self.results = results
        self.run = run


class Call:
    """A call of a program, or by address. ``address``: number of the address, or -1 if ``callee`` is known.

    ``functions``: who is at an address; ``params`` and ``returns``: types that a callee must have.
    """

    __slots__ = ("address", "args", "callee", "functions", "params", "rest", "results", "returns")

    def __init__(
        self,
        args: tuple[int, ...],
        results: tuple[int, ...],
        rest: BlockCode,
        params: Types,
        returns: Types,
    ) -> None:
        self.args = args
        self.results = results
        self.rest = rest
        self.params = params
        self.returns = returns
        self.address = -1
        self.callee: Program | Outside | None = None
        self.functions: dict[int, Program | Outside] = {}

    def target(self, values: Values) -> Program | Outside:
        """Who is called. UndefinedBehaviour if that is nobody, or somebody of other types."""
        if self.callee is not None:
            return self.callee
        address = values[self.address]
        found = self.functions.get(address)
        if found is None:
            raise UndefinedBehaviour(f"a call to {address:#x}, where there is no function")
        if (found.params, found.results) != (self.params, self.returns):
            raise UndefinedBehaviour("a call by address with another signature than the callee's")
        return found


class Program:
    """A function made ready to run. Made by :func:`fuzzer.reference.evaluate.prepare`."""

    __slots__ = (
        "blocks",
        "initial",
        "lifted",
        "needs_memory",
        "numbers",
        "params",
        "results",
        "slot_numbers",
        "slot_sizes",
    )

    def __init__(self, params: Types, results: Types) -> None:
        self.params = params
        self.results = results
        self.blocks: list[BlockCode] = []
        self.initial: Values = []
        self.slot_sizes: tuple[int, ...] = ()
        #: numbers of the values that are addresses of slots from the start
        self.slot_numbers: list[int] = []
        self.needs_memory = False
        #: of the values by name, for tracing
        self.numbers: dict[Value, int] = {}
        #: values may have open bits
        self.lifted = False

    def run(
        self,
        input: Input,
        memory: bytes = b"",
        fuel: int = DEFAULT_FUEL,
        depth: int = DEFAULT_DEPTH,
    ) -> Outcome:
        """What the function does on one input: unsigned bits of each parameter's type.

        ``memory``: the data region's bytes before; ``depth``: of calls, above which the run ends as out of fuel.
        UndefinedBehaviour if the input makes the case invalid; ValueError if it has not one value for each parameter.
        """
        return self._run(input, memory, fuel, depth, None)

    def trace(self, input: Input, memory: bytes = b"", fuel: int = DEFAULT_FUEL) -> list[Step]:
        """The instructions of this function that were executed, in order, without those of functions it calls;
        the last of them may have trapped. A result with open bits is an :class:`~fuzzer.reference.open_bits.Open`."""
        steps: list[Step] = []
        self._run(input, memory, fuel, DEFAULT_DEPTH, steps)
        return steps

    def _enter(self, args: list[int], state: Memory) -> tuple[Values, int]:
        """A callee's values, and the position of its first slot."""
        values = self.initial[:]
        values[: len(args)] = args
        if not self.slot_sizes:
            return values, -1
        base = state.enter(self.slot_sizes)
        for number in self.slot_numbers:
            values[number] = (values[number] + base * SLOT_STRIDE) & ADDRESS_MASK
        return values, base

    def _run(
        self, input: Input, memory: bytes, fuel: int, depth: int, steps: list[Step] | None
    ) -> Outcome:
        if len(input) != len(self.params):
            raise ValueError(f"{len(input)} values for {len(self.params)} parameters")
        values = self.initial[:]
        values[: len(input)] = input
        state = Memory(memory, self.slot_sizes) if self.needs_memory else None
        blocks, lifted = self.blocks, self.lifted
        code = blocks[0]
        index = 0
        #: of the functions that wait for a call to return: values, blocks, position of slots, the call
        frames: list[tuple[Values, list[BlockCode], int, Call]] = []
        base = 0
        #: where this function was left by a tail call
        gone: tuple[int, int] | None = None
        try:
            while True:
                fuel -= code.cost
                rows = code.rows
                if fuel < 0:
                    left = fuel + code.cost + code.first
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
                if steps is not None and not frames and gone is None:
                    self._record(steps, code, values, code.cost + min(fuel, 0))
                if fuel < 0:
                    return OutOfFuel()
                terminator = code.terminator
                if terminator == JUMP:
                    edge = code.edges[0]
                elif terminator == BRIF:
                    edge = code.edges[0 if values[code.operands] else 1]
                elif terminator == RETURN:
                    returned = [values[i] for i in code.operands]
                    if not frames:
                        if not lifted and (state is None or not state.calls):
                            after = memory if state is None else bytes(state.data)
                            return Returned(tuple(returned), after)
                        return self._returned(returned, memory, state)
                    if base >= 0:
                        state.leave(base)  # type: ignore[union-attr]  # who calls or is called has memory
                    values, blocks, base, call = frames.pop()
                    for number, value in zip(call.results, returned, strict=True):
                        values[number] = value
                    code = call.rest
                    continue
                elif terminator == BR_TABLE:
                    case = values[code.operands] + 1
                    edge = code.edges[case if case < len(code.edges) else 0]
                elif terminator == TRAP:
                    index = code.first + code.cost - 1
                    raise Trap(code.operands)
                else:
                    call = code.operands
                    assert state is not None  # who calls has memory
                    index = call.rest.first
                    callee = call.target(values)
                    args = [values[i] for i in call.args]
                    if isinstance(callee, Outside):
                        for number, value in zip(
                            call.results, callee.run(state, args), strict=True
                        ):
                            values[number] = value
                        code = call.rest
                        continue
                    if terminator == CALL:
                        if len(frames) >= depth:
                            return OutOfFuel()
                        frames.append((values, blocks, base, call))
                    else:
                        if base >= 0:
                            state.leave(base)
                        if not frames and gone is None:
                            gone = (code.id, index)
                    values, base = callee._enter(args, state)
                    blocks = callee.blocks
                    code = blocks[0]
                    continue
                target, params, args = edge  # type: ignore[assignment]  # a tuple here, a list of bits above
                if len(params) == 1:
                    values[params[0]] = values[args[0]]
                elif params:
                    moved = [values[i] for i in args]
                    for param, value in zip(params, moved, strict=True):
                        values[param] = value
                code = blocks[target]
        except Trap as trap:
            at = (code.id, index)
            if gone is not None:
                at = gone
            elif frames:
                rest = frames[0][3].rest
                at = (rest.id, rest.first)
            elif steps is not None and index < code.first + code.cost - 1:
                self._record(steps, code, values, index - code.first)
            if steps is not None and (not steps or steps[-1][:2] != at):
                steps.append((*at, ()))
            if state is None:
                return Trapped(trap.code, memory, at)
            return Trapped(
                trap.code, bytes(state.data), at, _open_memory(state), tuple(state.calls)
            )

    def _returned(self, returned: list[int], memory: bytes, state: Memory | None) -> Returned:
        values: tuple[int, ...] = tuple(returned)
        masks: tuple[int, ...] = ()
        if self.lifted:
            split = [parts(value) for value in returned]
            values = tuple([bits for bits, _ in split])
            masks = tuple([mask for _, mask in split])
            if not any(masks):
                masks = ()
        if state is None:
            return Returned(values, memory, masks)
        return Returned(values, bytes(state.data), masks, _open_memory(state), tuple(state.calls))

    def _record(self, steps: list[Step], code: BlockCode, values: Values, executed: int) -> None:
        """Add a block's first ``executed`` instructions; SSA keeps their results until the block is run again."""
        numbers = self.numbers
        for index, inst in enumerate(code.insts[: max(0, executed)], code.first):
            steps.append((code.id, index, tuple([values[numbers[v]] for v in inst.results])))


def _open_memory(state: Memory) -> bytes:
    """Masks of the open bits of the data region, b"" if none is."""
    return state.marks(DATA_BASE, len(state.data)) if state.open else b""
