"""The machines that the emulator can be: one row an ISA, with the executor's own calling convention.

Sources: AAPCS64 (Procedure Call Standard for the Arm 64-bit Architecture, 6.1 machine registers,
6.8 parameter passing, 6.9 results by way of x8) for aarch64; System V Application
Binary Interface, AMD64 Architecture Processor Supplement (3.2.1 registers, 3.2.3 parameter passing,
the direction flag clear on return) for x86_64. Nothing here is shared with the backend on purpose: where the
two disagree, that is a finding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import unicorn
from unicorn import arm64_const as arm64
from unicorn import x86_const as x86


@dataclass(frozen=True, slots=True)
class Saved:
    """A register that a function must give back as it got it; ``mask``: the bits that count."""

    name: str
    id: int
    mask: int = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Machine:
    """One ISA as the executor sees it. Register ids are Unicorn's.

    ``arguments``/``results``: integer registers in order; what does not fit in registers is on the
    stack from SP upward in slots of ``stack_slot`` bytes. ``poisoned``: registers that hold nothing
    at entry and get random bits. ``trap_fill``: an instruction that traps, put behind the code.
    ``cpu``: Unicorn's CPU model. ``page``: smallest unit of mapping, bytes.

    ``float_arguments``/``float_results``: float registers in order, 128 bits each, of which a float takes the low ones
    (none: no floats in signatures). ``pairs``: an i128 goes to two consecutive integer registers (no: no i128 in
    signatures); ``even_pairs``: the first of them has an even place in the order, and no register is used after an
    i128 that did not fit.

    ``link``: the register with the return address, or -1: it is on the stack at SP, and SP is above it after the
    return. ``fixed``: registers that hold the same at every entry, with what: they decide rounding, flushing and
    default NaNs. ``flags``: the register of the flags, or -1; ``flags_free``: those that hold nothing at entry;
    ``flags_clear``: those that must be 0 at the return; ``flags_lost``: those that a
    call destroys. ``return_code``: the instruction that returns.

    ``sret``: the register of a pointer to results that is a parameter, or -1: it is the first argument, which a
    function gives back in the first register of results.
    """

    name: str
    arch: int
    mode: int
    cpu: int
    pc: int
    sp: int
    link: int
    arguments: tuple[int, ...]
    results: tuple[int, ...]
    saved: tuple[Saved, ...]
    poisoned: tuple[int, ...]
    stack_slot: int
    trap_fill: bytes
    page: int
    float_arguments: tuple[int, ...] = ()
    float_results: tuple[int, ...] = ()
    pairs: bool = False
    even_pairs: bool = False
    fixed: tuple[tuple[int, int], ...] = ()
    flags: int = -1
    flags_free: int = 0
    flags_clear: int = 0
    flags_lost: int = 0
    sret: int = -1
    return_code: bytes = b""


def _x(number: int) -> int:
    """Unicorn's id of x0..x30 (x29 and x30 are out of line)."""
    if number < 29:
        return int(arm64.UC_ARM64_REG_X0) + number
    return int((arm64.UC_ARM64_REG_X29, arm64.UC_ARM64_REG_X30)[number - 29])


def _q(number: int) -> int:
    """Unicorn's id of q0..q31."""
    return int(arm64.UC_ARM64_REG_Q0) + number


#: Cortex-A72 is ARMv8.0 with CRC and crypto: what the baseline may use and no more. The MAX model
#: knows more, but aborts the process on some undefined encodings (Unicorn 2.1.4).
_AARCH64: Final = Machine(
    name="aarch64",
    arch=unicorn.UC_ARCH_ARM64,
    mode=unicorn.UC_MODE_ARM,
    cpu=arm64.UC_CPU_ARM64_A72,
    pc=arm64.UC_ARM64_REG_PC,
    sp=arm64.UC_ARM64_REG_SP,
    link=_x(30),
    arguments=tuple(_x(n) for n in range(8)),
    results=tuple(_x(n) for n in range(8)),
    saved=tuple(Saved(f"x{n}", _x(n)) for n in range(19, 30))
    + tuple(Saved(f"d{n}", int(arm64.UC_ARM64_REG_D0) + n) for n in range(8, 16)),
    poisoned=tuple(_x(n) for n in (*range(19), 30)) + tuple(_q(n) for n in range(32)),
    stack_slot=8,
    trap_fill=bytes.fromhex("00000000"),  # udf #0
    page=1024,
    float_arguments=tuple(_q(n) for n in range(8)),
    float_results=tuple(_q(n) for n in range(8)),
    pairs=True,
    even_pairs=True,
    # round to nearest even, flush nothing, hand NaNs on
    fixed=((int(arm64.UC_ARM64_REG_FPCR), 0),),
    flags=arm64.UC_ARM64_REG_NZCV,
    flags_lost=0xF000_0000,
    sret=_x(8),
    return_code=bytes.fromhex("c0035fd6"),  # ret
)


def _r(*names: str) -> tuple[int, ...]:
    return tuple(int(getattr(x86, f"UC_X86_REG_{name.upper()}")) for name in names)


_KEPT: Final = ("rbx", "rbp", "r12", "r13", "r14", "r15")

#: Haswell is x86-64-v3: what it knows beyond the baseline is AVX and BMI, and VEX-encoded instructions run wrong under
#: Unicorn 2.1.4, so no compiler may be told of more than SSE4.2 and POPCNT. It looks at the low 52 bits of an address
#: only: one that is not canonical, at which a processor would fault, may hit the data region.
_X86_64: Final = Machine(
    name="x86_64",
    arch=unicorn.UC_ARCH_X86,
    mode=unicorn.UC_MODE_64,
    cpu=x86.UC_CPU_X86_HASWELL,
    pc=x86.UC_X86_REG_RIP,
    sp=x86.UC_X86_REG_RSP,
    link=-1,
    arguments=_r("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    results=_r("rax", "rdx"),
    saved=tuple(Saved(name, *_r(name)) for name in _KEPT),
    poisoned=_r("rax", "rcx", "rdx", "rsi", "rdi", *(f"r{n}" for n in range(8, 12)))
    + tuple(int(x86.UC_X86_REG_XMM0) + n for n in range(16)),
    stack_slot=8,
    trap_fill=bytes.fromhex("0f0b"),  # ud2
    page=4096,
    float_arguments=tuple(int(x86.UC_X86_REG_XMM0) + n for n in range(8)),
    float_results=tuple(int(x86.UC_X86_REG_XMM0) + n for n in range(2)),
    pairs=True,
    fixed=((int(x86.UC_X86_REG_MXCSR), 0x1F80),),
    flags=x86.UC_X86_REG_EFLAGS,
    flags_free=0x8D5,  # carry, parity, adjust, zero, sign, overflow
    flags_clear=0x400,  # direction
    flags_lost=0x8D5,
    return_code=bytes.fromhex("c3"),  # ret
)

MACHINES: Final[dict[str, Machine]] = {"aarch64": _AARCH64, "x86_64": _X86_64}
