"""One run of machine code, instruction by instruction: what each changed.

A CODE hook costs 0.5 us an instruction and the reading of all registers ten times that, so only what is
being explained is traced, once, on an engine of its own. The run itself is that of
:class:`fuzzer.execute.emulator.Emulator`: the same registers, poison, memory and limits.

A step's changes are registers whose value is another one afterwards; who writes what was there before is not seen.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import unicorn
from unicorn import arm64_const as arm64
from unicorn import arm_const as arm
from unicorn import x86_const as x86

from fuzzer.case import Input
from fuzzer.execute import layout
from fuzzer.execute.conventions import ar, arm_floats, fr, gr, mf, mr, rv, rvf
from fuzzer.execute.emulator import Emulator, Run
from fuzzer.execute.registers import Batch

MAX_STEPS: Final = 20_000
"""Steps that are recorded; the run goes on without."""

_WORD: Final = (1 << 64) - 1


def _aarch64() -> dict[str, int]:
    names = {f"x{n}": int(arm64.UC_ARM64_REG_X0) + n for n in range(29)}
    names |= {"x29": int(arm64.UC_ARM64_REG_X29), "x30": int(arm64.UC_ARM64_REG_X30)}
    names |= {"sp": int(arm64.UC_ARM64_REG_SP), "nzcv": int(arm64.UC_ARM64_REG_NZCV)}
    return names | {f"v{n}": int(arm64.UC_ARM64_REG_Q0) + n for n in range(32)}


def _x86_64() -> dict[str, int]:
    names = ("rax", "rcx", "rdx", "rbx", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
    found = {name: int(getattr(x86, f"UC_X86_REG_{name.upper()}")) for name in names}
    found |= {"sp": int(x86.UC_X86_REG_RSP), "flags": int(x86.UC_X86_REG_EFLAGS)}
    return found | {f"xmm{n}": int(x86.UC_X86_REG_XMM0) + n for n in range(16)}


def _riscv64() -> dict[str, int]:
    names = "ra sp gp tp t0 t1 t2 s0 s1 a0 a1 a2 a3 a4 a5 a6 a7 s2 s3 s4 s5 s6 s7 s8 s9 s10 s11 t3 t4 t5 t6"
    found = dict(zip(names.split(), rv(*range(1, 32)), strict=True))
    floats = (
        "ft0 ft1 ft2 ft3 ft4 ft5 ft6 ft7 fs0 fs1 fa0 fa1 fa2 fa3 fa4 fa5 fa6 fa7 "
        "fs2 fs3 fs4 fs5 fs6 fs7 fs8 fs9 fs10 fs11 ft8 ft9 ft10 ft11"
    )
    return found | dict(zip(floats.split(), rvf(*range(32)), strict=True))


def _s390x() -> dict[str, int]:
    found = {f"r{n}": gr(n)[0] for n in range(15)} | {"sp": gr(15)[0]}
    return found | {f"f{n}": fr(n)[0] for n in range(16)}


def _arm() -> dict[str, int]:
    found = {f"r{n}": ar(n)[0] for n in range(13)} | {"sp": ar(13)[0], "lr": ar(14)[0]}
    found |= {"flags": int(arm.UC_ARM_REG_APSR_NZCV)}
    return found | {f"d{n}": arm_floats("d", n)[0] for n in range(32)}


def _mips64() -> dict[str, int]:
    names = "at v0 v1 a0 a1 a2 a3 a4 a5 a6 a7 t0 t1 t2 t3 s0 s1 s2 s3 s4 s5 s6 s7 t8 t9 k0 k1 gp sp fp ra"
    found = dict(zip(names.split(), mr(*range(1, 32)), strict=True))
    return found | {f"f{n}": mf(n)[0] for n in range(32)}


REGISTERS: Final = {
    "aarch64": _aarch64(),
    "x86_64": _x86_64(),
    "riscv64": _riscv64(),
    "s390x": _s390x(),
    "arm": _arm(),
    "mips64": _mips64(),
}
"""Unicorn's ids of what is watched, by the names that the backend and the manual use; the
stack pointer is sp everywhere."""


class Access(NamedTuple):
    """One access to memory; ``value``: unsigned bits that were written, 0 for a read."""

    address: int
    size: int
    value: int


class TraceStep:
    """One executed instruction at byte ``offset`` of the code. ``changes``: (register, new value)."""

    __slots__ = ("changes", "offset", "reads", "writes")

    def __init__(self, offset: int) -> None:
        self.offset = offset
        self.changes: list[tuple[str, int]] = []
        self.reads: list[Access] = []
        self.writes: list[Access] = []


class Trace:
    """One run. ``before``: every register at the first step; ``executed``: all steps, recorded or not."""

    __slots__ = ("before", "executed", "run", "steps")

    def __init__(
        self, run: Run, before: dict[str, int], steps: list[TraceStep], executed: int
    ) -> None:
        self.run = run
        self.before = before
        self.steps = steps
        self.executed = executed


class Tracer(Emulator):
    """An emulator that records what it does."""

    def __init__(self, isa: str) -> None:
        super().__init__(isa)
        self._names = list(REGISTERS[isa])
        self._all = Batch(list(REGISTERS[isa].values()))
        self._last: tuple[int, ...] = ()
        self._steps: list[TraceStep] = []
        self._executed = 0
        self._before: dict[str, int] = {}
        uc: Any = self._uc
        uc.hook_add(unicorn.UC_HOOK_CODE, self._on_code)
        uc.hook_add(unicorn.UC_HOOK_MEM_WRITE, self._on_write)
        uc.hook_add(unicorn.UC_HOOK_MEM_READ, self._on_read)

    def trace(self, inputs: Input, memory: bytes, poison: int = 0) -> Trace:
        """Run the loaded code once, as :meth:`run` does."""
        self._last, self._steps, self._executed, self._before = (), [], 0, {}
        run = self.run(inputs, memory, poison)
        if self._executed <= MAX_STEPS:
            self._settle()
        return Trace(run, self._before, self._steps, self._executed)

    def _settle(self) -> None:
        """What the last step changed, now that it is done."""
        self._read(self._all)
        now = tuple(self._all.values)
        if not self._before:
            self._before = {name: self._value(now, i) for i, name in enumerate(self._names)}
        elif now != self._last and self._steps:
            last = self._last
            self._steps[-1].changes = [
                (name, self._value(now, i))
                for i, name in enumerate(self._names)
                if now[2 * i] != last[2 * i] or now[2 * i + 1] != last[2 * i + 1]
            ]
        self._last = now

    @staticmethod
    def _value(words: tuple[int, ...], index: int) -> int:
        return words[2 * index] | words[2 * index + 1] << 64

    def _on_code(self, uc: Any, address: int, size: int, _: Any) -> None:
        if layout.STUBS <= address < layout.STUBS + layout.STUBS_SIZE:
            return  # what a function from outside changes belongs to its call
        self._executed += 1
        if self._executed > MAX_STEPS + 1:
            return
        self._settle()
        if self._executed <= MAX_STEPS:
            self._steps.append(TraceStep(address - layout.CODE))

    def _on_write(self, uc: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        if self._executed <= MAX_STEPS and self._steps:
            mask = (1 << 8 * size) - 1
            self._steps[-1].writes.append(Access(address, size, value & mask))

    def _on_read(self, uc: Any, access: int, address: int, size: int, value: int, _: Any) -> None:
        if self._executed <= MAX_STEPS and self._steps:
            self._steps[-1].reads.append(Access(address, size, 0))
