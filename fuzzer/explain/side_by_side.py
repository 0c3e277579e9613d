"""CLIF, vcode and assembly side by side: a line for each CLIF instruction, with all that became of it."""

from __future__ import annotations

from backend.ir.entities import Block, Function, Inst, Value
from backend.ir.printer import function_lines
from backend.machine.places import Places
from fuzzer.explain.machine import Machine
from fuzzer.explain.model import Asm, Line, Step
from fuzzer.explain.tracer import TraceStep
from fuzzer.explain.verdicts import Cause
from fuzzer.explain.walk import Seen

_HEAD = -1
"""Position of what belongs to no CLIF instruction: prologue, arguments."""


class SideBySide:
    """The lines of one function. ``places``: None if the target does not say; then all code stands at the head."""

    def __init__(
        self, function: Function, code: bytes, places: Places | None, machine: Machine
    ) -> None:
        self.code = code
        self.places = places
        self.machine = machine
        self.texts: list[str] = []
        #: line of an instruction by position, of a block by number
        self.line_of: dict[int, int] = {}
        self.head_of: dict[int, int] = {}
        self.results: dict[int, Value] = {}
        position = 0
        for text, anchor in function_lines(function):
            if anchor is None:
                continue
            if isinstance(anchor, Inst):
                self.line_of[position] = len(self.texts)
                if anchor.results:
                    self.results[position] = anchor.results[0]
                position += 1
            elif isinstance(anchor, Block):
                self.head_of[anchor.id] = len(self.texts)
            self.texts.append(text)
        self.line_of[_HEAD] = 0
        self.params = {value: block.id for block in function.blocks for value in block.params}

    def position_at(self, offset: int) -> int:
        """Position of the CLIF instruction that the word at ``offset`` was made for."""
        if self.places is not None:
            for span in self.places.spans:
                if span.start <= offset < span.end:
                    return self.places.insts[span.inst].origin if span.inst >= 0 else _HEAD
        return _HEAD

    def lines(self, seen: dict[Value, Seen], cause: Cause | None) -> list[Line]:
        """All lines; ``seen``: values as the machine last had them."""
        vcode: dict[int, list[str]] = {}
        for inst in self.places.insts if self.places is not None else ():
            vcode.setdefault(inst.origin, []).append(inst.text)
        asm: dict[int, list[Asm]] = {}
        for offset, text in sorted(self.machine.texts.items()):
            word = self.code[offset : self.machine.ends[offset]].hex()
            asm.setdefault(self.position_at(offset), []).append(Asm(offset, word, text))
        position_of = {line: position for position, line in self.line_of.items()}
        diverging = self.line_for(cause) if cause is not None else -1
        made = []
        for number, text in enumerate(self.texts):
            position = position_of.get(number)
            if position is None:
                made.append(Line(text, diverges=number == diverging))
                continue
            found = seen.get(self.results.get(position, -1), Seen("", "", ""))
            made.append(
                Line(text, vcode.get(position, []), asm.get(position, []), found.expected, found.got,
                     found.where, number == diverging)
            )  # fmt: skip
        return made

    def line_for(self, cause: Cause) -> int:
        """The line where it went wrong."""
        if cause.kind in ("passed", "edge"):
            return self.head_of[self.params[cause.value]]
        if cause.position >= 0:
            return self.line_of[cause.position]
        return self.line_of[self.position_at(cause.divergence.offset)]

    def steps(self, steps: list[TraceStep]) -> list[Step]:
        """Executed instructions, as the explanation shows them."""
        return [
            Step(step.offset, self.machine.texts.get(step.offset, ""), _changes(step),
                 self.line_of[self.position_at(step.offset)] if self.places is not None else -1)
            for step in steps
        ]  # fmt: skip


def _changes(step: TraceStep) -> str:
    registers = [f"{name}={value:#x}" for name, value in step.changes]
    memory = [f"[{address:#x}]={value:#0{2 * size + 2}x}" for address, size, value in step.writes]
    return " ".join(registers + memory)
