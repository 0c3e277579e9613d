"""The machines that the emulator can be: one row an ISA.

Sources: Procedure Call Standard for the Arm 64-bit Architecture, 6.1 (registers); System V Application Binary
Interface, AMD64 Architecture Processor Supplement, 3.2.1 (registers; the direction flag is clear on return); RISC-V ELF
psABI, "Register convention", and The RISC-V Instruction Set Manual, Volume II, ``mstatus``; z/Architecture
Principles of Operation, "Program-Status Word", "Control registers"; Arm Architecture Reference Manual, ARMv7-A and
ARMv7-R edition, "CPACR", "FPEXC", "FPSCR"; MIPS64 Architecture for Programmers, volumes I-A and
III, "FCSR", "Status". How functions are called is said in :mod:`fuzzer.execute.conventions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import unicorn
from unicorn import arm64_const as arm64
from unicorn import arm_const as arm
from unicorn import mips_const as mips
from unicorn import riscv_const as riscv
from unicorn import s390x_const as s390x
from unicorn import x86_const as x86

from fuzzer.execute.conventions import (
    CONVENTIONS,
    Convention,
    ar,
    arm_floats,
    fr,
    gr,
    mf,
    mr,
    q,
    r,
    rv,
    rvf,
    x,
)


@dataclass(frozen=True, slots=True)
class Machine:
    """One ISA as the executor sees it. Register ids are Unicorn's.

    ``poisoned``: registers that get random bits at entry; ``vectors``: those of them that have 128. ``trap_fill``: an
    instruction that traps, put behind the code. ``cpu``: Unicorn's CPU model. ``page``: smallest unit of mapping.
    ``conventions``: how functions are called, by name, "" that of none.

    ``link``: the register with the return address, or -1: it is on the stack at SP, and SP is above it after the
    return. ``fixed``: registers that hold the same at every entry, with what: they decide rounding, flushing and
    default NaNs. ``flags``: the register of the flags, or -1; ``flags_free``: those that hold nothing at entry;
    ``flags_clear``: those that must be 0 at the return; ``flags_lost``: those that a call destroys.
    ``return_code``: the instruction that returns. ``trap_ahead``: by how many bytes Unicorn's PC is past an instruction
    that raised an exception which it has a number for.

    ``stack_align``: of the stack pointer at a call. ``landing``: what stands at the return address, which Unicorn has
    to execute before it stops. ``one_error``: Unicorn gives a bad access the number of a trap, and no address; what
    traps here begins with a byte of 0. ``writable_code``: nothing runs in pages that are not. ``trap_faults``:
    ``trap_fill`` is an access that is bad whatever the registers hold. ``longest``: machine
    instructions that one of CLIF may take: what is done bit by bit takes hundreds, a division of i128 that is a loop of
    sums of four words tens of thousands.
    """

    name: str
    arch: int
    mode: int
    cpu: int
    pc: int
    sp: int
    link: int
    poisoned: tuple[int, ...]
    vectors: tuple[int, ...]
    trap_fill: bytes
    page: int
    conventions: Mapping[str, Convention]
    fixed: tuple[tuple[int, int], ...] = ()
    flags: int = -1
    flags_free: int = 0
    flags_clear: int = 0
    flags_lost: int = 0
    return_code: bytes = b""
    trap_ahead: int = 0
    stack_align: int = 16
    landing: bytes = b""
    one_error: bool = False
    writable_code: bool = False
    trap_faults: bool = False
    longest: int = 1000


def _saved(isa: str) -> tuple[int, ...]:
    return tuple(saved.id for saved in CONVENTIONS[isa][""].saved)


_Q: Final = tuple(q(n) for n in range(32))

#: Cortex-A72 is ARMv8.0 with CRC and crypto: what the baseline may use and no more. The MAX model
#: knows more, but aborts the process on some undefined encodings (Unicorn 2.1.4).
_AARCH64: Final = Machine(
    name="aarch64",
    arch=unicorn.UC_ARCH_ARM64,
    mode=unicorn.UC_MODE_ARM,
    cpu=arm64.UC_CPU_ARM64_A72,
    pc=arm64.UC_ARM64_REG_PC,
    sp=arm64.UC_ARM64_REG_SP,
    link=x(30),
    poisoned=(*(x(n) for n in (*range(19), 30)), *_Q, *_saved("aarch64")),
    vectors=_Q,
    trap_fill=bytes.fromhex("00000000"),  # udf #0
    page=1024,
    conventions=CONVENTIONS["aarch64"],
    # round to nearest even, flush nothing, hand NaNs on
    fixed=((int(arm64.UC_ARM64_REG_FPCR), 0),),
    flags=arm64.UC_ARM64_REG_NZCV,
    flags_lost=0xF000_0000,
    return_code=bytes.fromhex("c0035fd6"),  # ret
)


_XMM: Final = r(*(f"xmm{n}" for n in range(16)))

#: Haswell is x86-64-v3: what it knows beyond the baseline is AVX and BMI, and VEX-encoded instructions run wrong under
#: Unicorn 2.1.4. So of what it knows beyond SSE4.2 only POPCNT, TZCNT and LZCNT may be used, which have none. It looks
#: at the low 52 bits of an address only: one that is not canonical, at which a processor would fault, may hit the data
#: region.
_X86_64: Final = Machine(
    name="x86_64",
    arch=unicorn.UC_ARCH_X86,
    mode=unicorn.UC_MODE_64,
    cpu=x86.UC_CPU_X86_HASWELL,
    pc=x86.UC_X86_REG_RIP,
    sp=x86.UC_X86_REG_RSP,
    link=-1,
    poisoned=(
        *r("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11"),
        *_XMM,
        *_saved("x86_64"),
    ),
    vectors=_XMM,
    trap_fill=bytes.fromhex("0f0b"),  # ud2
    page=4096,
    conventions=CONVENTIONS["x86_64"],
    fixed=((int(x86.UC_X86_REG_MXCSR), 0x1F80),),
    flags=x86.UC_X86_REG_EFLAGS,
    flags_free=0x8D5,  # carry, parity, adjust, zero, sign, overflow
    flags_clear=0x400,  # direction
    flags_lost=0x8D5,
    return_code=bytes.fromhex("c3"),  # ret
)

#: RV64GC. Floats work once mstatus.FS says that there is a unit (initial); fcsr: round to nearest even. Unicorn 2.1.4
#: goes on 4 bytes past an instruction that is none, whatever its size, and knows that EBREAK is one.
_RISCV64: Final = Machine(
    name="riscv64",
    arch=unicorn.UC_ARCH_RISCV,
    mode=unicorn.UC_MODE_RISCV64,
    cpu=riscv.UC_CPU_RISCV64_SIFIVE_U54,
    pc=riscv.UC_RISCV_REG_PC,
    sp=int(riscv.UC_RISCV_REG_X0) + 2,
    link=int(riscv.UC_RISCV_REG_X0) + 1,
    poisoned=(
        *rv(5, 6, 7, *range(10, 18), *range(28, 32)),
        *rvf(*range(8), *range(10, 18), *range(28, 32)),
        *_saved("riscv64"),
    ),
    vectors=(),
    trap_fill=bytes.fromhex("0000"),  # c.unimp
    page=4096,
    conventions=CONVENTIONS["riscv64"],
    fixed=((int(riscv.UC_RISCV_REG_MSTATUS), 0x6000), (int(riscv.UC_RISCV_REG_FCSR), 0)),
    return_code=bytes.fromhex("67800000"),  # ret
    trap_ahead=4,
)

#: z14, with its vectors, which share the float registers; Cranelift takes it for granted. PSW: addresses of 64 bits;
#: control register 0: all float registers, and vectors; floating-point control: round to nearest even.
_S390X: Final = Machine(
    name="s390x",
    arch=unicorn.UC_ARCH_S390X,
    mode=unicorn.UC_MODE_BIG_ENDIAN,
    cpu=s390x.UC_CPU_S390X_Z14,
    pc=s390x.UC_S390X_REG_PC,
    sp=s390x.UC_S390X_REG_R15,
    link=s390x.UC_S390X_REG_R14,
    poisoned=(*gr(*range(7)), *fr(*range(8)), *_saved("s390x")),
    vectors=(),
    trap_fill=bytes.fromhex("0000"),
    page=4096,
    conventions=CONVENTIONS["s390x"],
    fixed=(
        (int(s390x.UC_S390X_REG_PSWM), 0x1_8000_0000),
        (int(s390x.UC_S390X_REG_CR0), 0x60000),
        (int(s390x.UC_S390X_REG_FPC), 0),
    ),
    return_code=bytes.fromhex("07fe"),  # br %r14
    stack_align=8,
    landing=bytes.fromhex("0707"),  # bcr 0, %r7
    one_error=True,
    writable_code=True,
)

_ARM_Q: Final = arm_floats("q", *range(16))

#: ARMv7-A with VFPv4, Advanced SIMD and division, in the state A32. CPACR: coprocessors 10 and 11, which are floats,
#: for everyone; FPEXC.EN: they are on; FPSCR: round to nearest even, flush nothing, hand NaNs on.
_ARM: Final = Machine(
    name="arm",
    arch=unicorn.UC_ARCH_ARM,
    mode=unicorn.UC_MODE_ARM,
    cpu=arm.UC_CPU_ARM_CORTEX_A15,
    pc=arm.UC_ARM_REG_PC,
    sp=arm.UC_ARM_REG_SP,
    link=arm.UC_ARM_REG_LR,
    poisoned=(*ar(0, 1, 2, 3, 12), *_ARM_Q, *_saved("arm")),
    vectors=_ARM_Q,
    trap_fill=bytes.fromhex("f000f0e7"),  # udf #0
    page=4096,
    conventions=CONVENTIONS["arm"],
    fixed=(
        (int(arm.UC_ARM_REG_C1_C0_2), 0x00F0_0000),
        (int(arm.UC_ARM_REG_FPEXC), 0x4000_0000),
        (int(arm.UC_ARM_REG_FPSCR), 0),
    ),
    flags=arm.UC_ARM_REG_APSR_NZCV,
    flags_free=0xF000_0000,
    flags_lost=0xF000_0000,
    return_code=bytes.fromhex("1eff2fe1"),  # bx lr
    stack_align=8,
    longest=40_000,
)

#: MIPS64 release 6, since its NaNs are those of IEEE 754-2008: in the ones before, the quiet bit says the opposite.
#: Unicorn 2.1.4 begins in a state in which floats are on and addresses are not translated, and must be left in it. It
#: loses PC at every exception but a bad access: so what traps here is a load from an address where nothing is.
_MIPS64: Final = Machine(
    name="mips64",
    arch=unicorn.UC_ARCH_MIPS,
    mode=unicorn.UC_MODE_MIPS64 | unicorn.UC_MODE_BIG_ENDIAN,
    cpu=mips.UC_CPU_MIPS64_I6400,
    pc=mips.UC_MIPS_REG_PC,
    sp=mr(29)[0],
    link=mr(31)[0],
    poisoned=(*mr(*range(1, 16), 24, 25), *mf(*range(24)), *_saved("mips64")),
    vectors=(),
    trap_fill=bytes.fromhex("8c000ffc"),  # lw $zero, 0xffc($zero)
    page=4096,
    conventions=CONVENTIONS["mips64"],
    # round to nearest even, no traps; NaNs and signs as of 2008, which can't be otherwise
    fixed=((int(mips.UC_MIPS_REG_FCSR), 0xC0000),),
    return_code=bytes.fromhex("d81f0000"),  # jrc $ra, which has no delay slot
    trap_faults=True,
)

MACHINES: Final[dict[str, Machine]] = {
    "aarch64": _AARCH64,
    "x86_64": _X86_64,
    "riscv64": _RISCV64,
    "s390x": _S390X,
    "arm": _ARM,
    "mips64": _MIPS64,
}
