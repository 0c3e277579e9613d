"""Which of the things that are undefined at entry mattered, by making them zero one at a time.

The emulator fills dead registers, dead stack and the bits above narrow arguments with random bits. A run that comes
to something else when one of these classes is zero, or under the other seed, has read it.
"""

from __future__ import annotations

import random
from typing import Final

from backend.machine.compiled import CompiledCode
from fuzzer.case import Case
from fuzzer.execute import layout
from fuzzer.execute.emulator import Emulator, Run
from fuzzer.loading import load

REGISTERS: Final = "dead registers"
STACK: Final = "dead stack"
ARGUMENTS: Final = "upper bits of narrow arguments"
CLASSES: Final = (REGISTERS, STACK, ARGUMENTS)


class _Calm(Emulator):
    """An emulator with one class of poison made zero, for functions of one calling convention."""

    def __init__(self, isa: str, calmed: str, callconv: str) -> None:
        self.calmed = calmed
        self.callconv = callconv
        super().__init__(isa)

    def _prepare_poison(self, rng: random.Random) -> None:
        super()._prepare_poison(rng)
        if self.calmed == REGISTERS:
            # Some registers, or the low halves of some, are the caller's.
            machine = self.machine
            kept = [each.id for each in machine.conventions[self.callconv].saved]
            if machine.link >= 0:
                kept.append(machine.link)
            saved = [(register, self._uc.reg_read(register)) for register in kept]
            for register in machine.poisoned:
                self._uc.reg_write(register, 0)
            for register, value in saved:
                self._uc.reg_write(register, value)
            self._contexts[-1] = self._uc.context_save()
        elif self.calmed == STACK:
            # The caller's frame is the canary and holds arguments.
            frame = self._stacks[-1][-layout.CALLER_FRAME :]
            self._stacks[-1] = bytes(layout.STACK_SIZE - layout.CALLER_FRAME) + frame
            self._tops[-1] = self._stacks[-1][-layout.STACK_RESET :]
        elif self.calmed == ARGUMENTS:
            self._fills[-1] = [0] * len(self._fills[-1])


def what_mattered(case: Case, code: CompiledCode, index: int, poison: int) -> str:
    """The classes of poison that the run of input ``index`` depends on, as words, or ""."""
    convention = case.function.signature.callconv
    usual = _summary(_run(Emulator(case.isa), case, code, index, poison))
    found = [name for name in CLASSES
             if _summary(_run(_Calm(case.isa, name, convention), case, code, index, poison)) != usual]  # fmt: skip
    if not found:
        other = _summary(_run(Emulator(case.isa), case, code, index, 1 - poison))
        return "" if other == usual else "what the callee-saved registers hold"
    return ", ".join(found)


def _run(emulator: Emulator, case: Case, code: CompiledCode, index: int, poison: int) -> Run:
    load(emulator, case, code)
    return emulator.run(case.inputs[index], case.memory, poison)


def _summary(run: Run) -> object:
    """What a run came to. Of broken promises only which: what is found in their place may well be poison."""
    return (
        run.stop,
        run.offset,
        run.values,
        run.memory,
        run.calls,
        [what for what, _, _ in run.frame],
    )
