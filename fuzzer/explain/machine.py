"""The machine along a trace: what each register holds, and which step put it there; which step wrote which byte."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from backend.ir.entities import Signature
from fuzzer.execute.decode import instructions
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import result_pieces
from fuzzer.explain.tracer import REGISTERS, Trace, TraceStep

IN_MEMORY: Final = "the area of results"
"""Where a result is for which no register is left."""


class ResultPart(NamedTuple):
    """64 bits of a result from bit ``shift`` on, and the register they come in, or IN_MEMORY."""

    register: str
    shift: int


def result_parts(isa: str, signature: Signature) -> list[list[ResultPart]]:
    """The parts of each result, the lowest first, by the executor's own convention."""
    names = {number: name for name, number in REGISTERS[isa].items()}
    convention = MACHINES[isa].conventions[signature.callconv]
    found: list[list[ResultPart]] = [[] for _ in signature.returns]
    for piece in result_pieces(signature.returns, convention)[0]:
        registers = convention.float_results if piece.is_float else convention.results
        name = names[registers[piece.register]] if piece.register >= 0 else IN_MEMORY
        found[piece.value].append(ResultPart(name, piece.shift))
    return found


class Machine:
    """State before the step that comes next. ``writers``: step that last changed a register; ``bytes``: (step
    that last wrote it, value) by address; ``texts``: what Capstone reads at each offset of the code; ``ends``: where
    what it reads there ends.
    """

    def __init__(
        self, isa: str, code: bytes, data: Sequence[tuple[int, int]], trace: Trace
    ) -> None:
        self.isa = isa
        self.trace = trace
        self.registers = dict(trace.before)
        self.writers: dict[str, int] = {}
        self.bytes: dict[int, tuple[int, int]] = {}
        self.done = 0
        self.texts: dict[int, str] = {}
        self.ends: dict[int, int] = {}
        for at, end, text in instructions(isa, code, data):
            self.texts[at], self.ends[at] = text, end

    def apply(self, step: TraceStep) -> None:
        """``step`` is done."""
        for name, value in step.changes:
            self.registers[name] = value
            self.writers[name] = self.done
        for address, size, value in step.writes:
            for i in range(size):
                self.bytes[address + i] = self.done, value >> 8 * i & 0xFF
        self.done += 1

    def asm(self, offset: int) -> str:
        """```mov w0, #0` at 0x8``."""
        return f"`{self.texts.get(offset, '(no instruction)')}` at {offset:#x}"

    def asm_of(self, step: int) -> str:
        """The instruction of a step, as :meth:`asm`."""
        return self.asm(self.trace.steps[step].offset)

    def origin_of(self, register: str) -> str:
        """Who put there what ``register`` holds, as the end of a sentence; through memory, if it was loaded."""
        writer = self.writers.get(register, -1)
        if register == IN_MEMORY:
            return f"it is in {IN_MEMORY}"
        if writer < 0:
            return f"nothing has written {register} since the call"
        said = f"{register} was last changed by {self.asm_of(writer)}"
        reads = self.trace.steps[writer].reads
        if not reads:
            return said
        size = reads[0].size
        found = self.bytes.get(reads[0].address, (-1, 0))[0]
        place = self.place(reads[0].address)
        if found < 0:
            return f"{said}, which read {size} bytes at {place} that nothing had written"
        return f"{said}, which read {size} bytes at {place}, last written by {self.asm_of(found)}"

    def place(self, address: int) -> str:
        """An address for people: near the stack pointer of now as ``sp+8``."""
        distance = address - self.registers.get("sp", 0)
        return f"sp{distance:+#x}" if abs(distance) < 0x1000 else f"{address:#x}"
