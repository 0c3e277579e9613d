"""A program around one run of the code under test, for a processor or an emulator of programs.

It enters the code with every register, the stack and the data region as the emulator would have them, and tells what
they are afterwards::

    start   a stack for signals; handlers; the registers from the *block*; a jump to the code
    finish  stands where a return must land: the registers to the block; block, data, stack to standard output; exit 0
    handler for a signal: its siginfo_t and ucontext_t, data, stack to standard output; exit 1
    stub    stands for a function from outside: as finish, but exit 2 and more, by the number of the stub

Every register is as the emulator has it when the code is entered, so that code which reads one that holds nothing finds
the same nothing. At the end one is lost, which leads to the block and which neither promises nor arguments are about.
After a stub another program goes on where the function would have returned to.

One row an ISA says it in that ISA's assembly. Sources: Linux's ``arch/*/include/uapi/asm/sigcontext.h`` and
``ucontext.h`` (where the PC is in a ucontext_t), ``include/uapi/asm-generic/unistd.h`` and
``arch/{x86/entry,s390/kernel}/syscalls`` (numbers), ``kernel_sigaction`` and ``si_addr`` of ``sigaction(2)``.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final, Literal, NamedTuple

import keystone
from unicorn import arm64_const as arm64
from unicorn import arm_const as arm
from unicorn import x86_const as x86

from fuzzer.execute import layout, riscv_assembly
from fuzzer.execute.conventions import ar, arm_floats, fr, gr, mf, mr, q, r, rv, rvf, x
from fuzzer.execute.relocate import ExecutorLimit
from fuzzer.execute.static_elf import EXECUTE, READ, WRITE, Segment, static_elf

BLOCK: Final = 0x1200_0000
"""Where the block of registers is, and behind it what the system calls want to read."""
_BLOCK_SIZE: Final = 0x1000
_HARNESS: Final = layout.CODE - 0x1_0000
"""In reach of a jump to the code on every ISA; on RISC-V to its first 960 KB."""
_FINISHES: Final = layout.STUBS + layout.STUBS_SIZE
"""In reach of a jump from every stub: what stands for them, since there is little room in each."""
_SIGNAL_STACK: Final = 0x1220_0000
_SIGNAL_STACK_SIZE: Final = 0x1_0000

FINISHED: Final = 0
SIGNALED: Final = 1
CALLED: Final = 2
"""Exit statuses; the last is that of the first stub."""
MOST_STUBS: Final = 250
"""An exit status is a byte."""

SIGINFO: Final = 128
"""Bytes of a siginfo_t, which the handler tells."""
PADDING: Final = -1
"""In place of a register's id: bytes of the block that hold none."""
_SIGNALS: Final = (4, 5, 7, 8, 11)  # ILL, TRAP, BUS, FPE, SEGV
_BUS: Final = 7
_BUS_MIPS: Final = 10
_TRAPS: Final = (4, 5, 8)
_ADDRESS_AT: Final = 16
"""Byte of ``si_addr`` in a siginfo_t."""
_ORDERS: Final = {"little": "<", "big": ">"}
_ONSTACK: Final = 0x0800_0000
_SIGINFO: Final = 4
_SIGINFO_MIPS: Final = 8
_RESTORER: Final = 0x0400_0000
_ACTION_AT: Final = 0xE00
_STACK_AT: Final = 0xE80


class Harness(NamedTuple):
    """One ISA. ``machine``: ELF's number; ``program``, ``cpu``: of qemu-user.

    ``registers``: Unicorn's ids in the order of the block, with the bytes that each takes there; ``load``: takes all of
    them from the block; ``save``: puts them back, but the one that is lost; ``jump``: from an address to another, with
    no register. ``assign``: puts a number or what is in another register into a register. ``arguments``: of a system
    call, ``number``, ``call``: its number's register and instruction; ``numbers``: of write, exit, rt_sigaction,
    sigaltstack. ``context``: the register in which a handler gets the ucontext_t, ``kept``: one that a system call
    leaves alone; ``pc_at``: byte of the PC in the ucontext_t. ``flags``: ELF's; ``restorer``: has a kernel_sigaction
    one? ``past``: is that PC behind an instruction that traps, which ``si_addr`` of the siginfo_t tells?
    ``word``: bytes of an address; ``ucontext``: of a ucontext_t as far as its PC, that the handler tells; ``mips``: is
    Linux's interface that of MIPS, with its own numbers and order of fields?
    """

    machine: int
    program: str
    cpu: str
    assembler: Callable[[list[str], int], bytes]
    registers: tuple[tuple[int, int], ...]
    load: tuple[str, ...]
    jump: Callable[[int, int], list[str]]
    save: tuple[str, ...]
    assign: Callable[[str, int | str], list[str]]
    arguments: tuple[str, ...]
    number: str
    call: str
    numbers: tuple[int, int, int, int]
    context: str
    kept: str
    pc_at: int
    flags: int = 0
    restorer: bool = True
    order: Literal["little", "big"] = "little"
    past: bool = False
    word: int = 8
    ucontext: int = 512
    mips: bool = False

    @property
    def size(self) -> int:
        """Bytes of the block."""
        return sum(size for _, size in self.registers)

    def _system_call(self, which: int, *values: int | str) -> list[str]:
        lines = [line for name, value in zip(self.arguments, values, strict=False)
                 for line in self.assign(name, value)]  # fmt: skip
        return [*lines, *self.assign(self.number, self.numbers[which]), self.call]

    def _write(self, address: int | str, size: int) -> list[str]:
        return self._system_call(0, 1, address, size) if size else []

    def _memory(self, data_size: int) -> list[str]:
        return [
            *self._write(layout.DATA, data_size),
            *self._write(layout.STACK, layout.STACK_SIZE),
        ]

    def assemble(self, lines: list[str], address: int) -> bytes:
        """The code of these lines at ``address``."""
        return self.assembler(lines, address)

    def file(
        self, block: bytes, code: bytes, entry: int, data: bytes, stack: bytes,
        more: Sequence[Segment] = (), stubs: int = 0,
    ) -> bytes:  # fmt: skip
        """The program as an ELF file. ``block``: the registers; ``entry``: address in ``code`` to go to; ``more``: what
        else the code needs; ``stubs``: how many functions from outside it may call."""

        def finish(status: int) -> list[str]:
            return [
                *self.save,
                *self._write(BLOCK, self.size),
                *self._memory(len(data)),
                *self._system_call(1, status),
            ]

        handler = [
            *self.assign(self.kept, self.context),
            *self._system_call(0, 1, self.arguments[1], SIGINFO),
            *self._write(self.kept, self.ucontext),
            *self._memory(len(data)),
            *self._system_call(1, SIGNALED),
        ]
        start = [
            *self._system_call(3, BLOCK + _STACK_AT, 0),
            *(line for signal in (*_SIGNALS, *[_BUS_MIPS] * self.mips)
              for line in self._system_call(2, signal, BLOCK + _ACTION_AT, 0, 16 if self.mips else 8)),
            *self.load,
        ]  # fmt: skip
        text, (_, starts) = self._placed([handler, start], _HARNESS)
        text += self._jump(_HARNESS + len(text), entry)
        action, signal_stack = self._signals()
        filled = bytearray(block.ljust(_BLOCK_SIZE, b"\0"))
        filled[_ACTION_AT : _ACTION_AT + len(action)] = action
        filled[_STACK_AT : _STACK_AT + len(signal_stack)] = signal_stack
        segments = [
            Segment(layout.CODE, READ | EXECUTE, code),
            Segment(BLOCK, READ | WRITE, bytes(filled)),
            Segment(_HARNESS, READ | EXECUTE, text),
            Segment(_SIGNAL_STACK, READ | WRITE, bytes(_SIGNAL_STACK_SIZE)),
            Segment(layout.STACK, READ | WRITE, stack),
            Segment(layout.RETURN, READ | EXECUTE, self.assemble(finish(FINISHED), layout.RETURN)),
            *more,
        ]
        if data:
            segments.append(Segment(layout.DATA, READ | WRITE, data))
        if stubs:
            texts = [finish(CALLED + number) for number in range(stubs)]
            segments.append(Segment(layout.STUBS, READ | EXECUTE, self._stubs(texts)))
        segments.sort()
        big = self.order == "big"
        return static_elf(
            self.machine, starts, segments, big_endian=big, flags=self.flags, bits=8 * self.word
        )

    def _jump(self, at: int, to: int) -> bytes:
        return self.assemble(self.jump(at, to), at)

    def _placed(self, texts: list[list[str]], start: int) -> tuple[bytes, list[int]]:
        """The code of the texts from ``start`` on, and where that of each begins."""
        code, places = b"", []
        for lines in texts:
            code += bytes(-len(code) % 16)
            places.append(start + len(code))
            code += self.assemble(lines, places[-1])
        return code, places

    def _stubs(self, finishes: list[list[str]]) -> bytes:
        """Stubs that go to what stands for each, and that."""
        code, places = self._placed(finishes, _FINISHES)
        made = b""
        for place in places:
            made += self._jump(layout.STUBS + len(made), place).ljust(layout.STUB, b"\0")
        return made.ljust(layout.STUBS_SIZE, b"\0") + code

    def _signals(self) -> tuple[bytes, bytes]:
        """A kernel_sigaction and a stack_t."""
        order = _ORDERS[self.order]
        if self.mips:
            action = struct.pack(f"{order}I4xQ16x", _ONSTACK | _SIGINFO_MIPS, _HARNESS)
            return action, struct.pack(f"{order}QQi4x", _SIGNAL_STACK, _SIGNAL_STACK_SIZE, 0)
        does = _ONSTACK | _SIGINFO | _RESTORER * self.restorer
        word, gap = ("Q", "4x") if self.word == 8 else ("I", "")
        action = struct.pack(f"{order}3{word}Q", _HARNESS, does, _HARNESS * self.restorer, 0)
        stack = struct.pack(f"{order}{word}i{gap}{word}", _SIGNAL_STACK, 0, _SIGNAL_STACK_SIZE)
        return action, stack

    def stopped_at(self, told: bytes) -> tuple[int, int]:
        """The signal, and PC where it was raised, of what the handler tells."""
        signal = int.from_bytes(told[:4], self.order)
        at = _ADDRESS_AT if self.past and signal in _TRAPS else SIGINFO + self.pc_at
        signal = _BUS if self.mips and signal == _BUS_MIPS else signal
        return signal, int.from_bytes(told[at : at + self.word], self.order)


@cache
def _keystone(arch: int, mode: int) -> keystone.Ks:
    return keystone.Ks(arch, mode)


def _by_keystone(arch: int, mode: int) -> Callable[[list[str], int], bytes]:
    def assemble(lines: list[str], address: int) -> bytes:
        try:
            code, _ = _keystone(arch, mode).asm("; ".join(lines), address, as_bytes=True)
        except keystone.KsError as error:
            # Seen once, with "Unknown error", of lines that it assembles every other time.
            raise ExecutorLimit(f"Keystone does not assemble a harness: {error}") from error
        if not code:
            raise ValueError(f"no code for {'; '.join(lines)}")
        return bytes(code)

    return assemble


def _assign_aarch64(register: str, value: int | str) -> list[str]:
    if isinstance(value, str):
        return [f"mov {register}, {value}"]
    return [f"movz {register}, #{value & 0xFFFF}",
            f"movk {register}, #{value >> 16}, lsl #16"]  # fmt: skip


# The block: x0 to x30, sp, nzcv, q0 to q31. x17 is what is lost.
_A64_Q: Final = 272
_AARCH64: Final = Harness(
    machine=183,
    program="qemu-aarch64",
    cpu="cortex-a72",
    assembler=_by_keystone(keystone.KS_ARCH_ARM64, keystone.KS_MODE_LITTLE_ENDIAN),
    registers=(
        *((x(n), 8) for n in range(31)),
        (int(arm64.UC_ARM64_REG_SP), 8),
        (int(arm64.UC_ARM64_REG_NZCV), 8),
        (PADDING, 8),
        *((q(n), 16) for n in range(32)),
    ),
    load=(
        *_assign_aarch64("x30", BLOCK),
        *(f"ldp q{n}, q{n + 1}, [x30, #{_A64_Q + 16 * n}]" for n in range(0, 32, 2)),
        "ldr x0, [x30, #256]", "msr nzcv, x0", "ldr x0, [x30, #248]", "mov sp, x0",
        *(f"ldp x{n}, x{n + 1}, [x30, #{8 * n}]" for n in range(0, 30, 2)),
        "ldr x30, [x30, #240]",
    ),
    jump=lambda _, to: [f"b #{to}"],
    save=(
        *_assign_aarch64("x17", BLOCK),
        *(f"stp q{n}, q{n + 1}, [x17, #{_A64_Q + 16 * n}]" for n in range(0, 32, 2)),
        *(f"stp x{n}, x{n + 1}, [x17, #{8 * n}]" for n in range(0, 30, 2)),
        "str x30, [x17, #240]", "mov x0, sp", "str x0, [x17, #248]", "mrs x0, nzcv", "str x0, [x17, #256]",
    ),
    assign=_assign_aarch64,
    arguments=("x0", "x1", "x2", "x3"),
    number="x8",
    call="svc #0",
    numbers=(64, 93, 134, 132),
    context="x2",
    kept="x19",
    pc_at=176 + 8 + 31 * 8 + 8,
)  # fmt: skip


def _assign_x86_64(register: str, value: int | str) -> list[str]:
    return [f"mov {register}, {value if isinstance(value, str) else hex(value)}"]


# The block: the integer registers, eflags, padding, mxcsr, xmm0 to xmm15. r11 is what is lost.
_X64_INT: Final = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
                   "r14", "r15")  # fmt: skip
_X64_XMM: Final = 160
_X64_LOADED: Final = [
    (name, 8 * n) for n, name in enumerate(_X64_INT) if name not in ("rsp", "r11")
]
_X86_64: Final = Harness(
    machine=62,
    program="qemu-x86_64",
    cpu="Haswell",
    assembler=_by_keystone(keystone.KS_ARCH_X86, keystone.KS_MODE_64),
    registers=(
        *((register, 8) for register in r(*_X64_INT)),
        (int(x86.UC_X86_REG_EFLAGS), 8),
        (int(x86.UC_X86_REG_MXCSR), 8),
        (PADDING, 16),
        *((register, 16) for register in r(*(f"xmm{n}" for n in range(16)))),
    ),
    load=(
        *_assign_x86_64("r11", BLOCK),
        "push qword ptr [r11 + 128]", "popfq", "ldmxcsr dword ptr [r11 + 136]",
        *(f"movups xmm{n}, xmmword ptr [r11 + {_X64_XMM + 16 * n}]" for n in range(16)),
        *(f"mov {name}, qword ptr [r11 + {at}]" for name, at in _X64_LOADED),
        "mov rsp, qword ptr [r11 + 32]", "mov r11, qword ptr [r11 + 88]",
    ),
    jump=lambda _, to: [f"jmp {to:#x}"],
    save=(
        *_assign_x86_64("r11", BLOCK),
        *(f"mov qword ptr [r11 + {at}], {name}" for name, at in [*_X64_LOADED, ("rsp", 32)]),
        f"lea rsp, [r11 + {_ACTION_AT - 64}]", "pushfq", "pop rax", "mov qword ptr [r11 + 128], rax", "cld",
        *(f"movups xmmword ptr [r11 + {_X64_XMM + 16 * n}], xmm{n}" for n in range(16)),
    ),
    assign=_assign_x86_64,
    arguments=("rdi", "rsi", "rdx", "r10"),
    number="rax",
    call="syscall",
    numbers=(1, 60, 13, 131),
    context="rdx",
    kept="rbx",
    pc_at=40 + 16 * 8,
)  # fmt: skip


def _assign_riscv64(register: str, value: int | str) -> list[str]:
    return [f"{'mv' if isinstance(value, str) else 'li'} {register}, {value}"]


def _assemble_riscv64(lines: list[str], _: int) -> bytes:
    try:
        return riscv_assembly.assemble(lines)
    except ValueError as error:  # so far a jump does not reach
        raise ExecutorLimit(f"no harness: {error}") from error


# The block: x1 to x31, f0 to f31. x31 is what is lost.
_RV_FLOAT: Final = 248
_RV_PLACES: Final = (
    *((f"x{n}", 8 * (n - 1), "") for n in range(1, 31)),
    *((f"f{n}", _RV_FLOAT + 8 * n, "f") for n in range(32)),
)
_RISCV64: Final = Harness(
    machine=243,
    program="qemu-riscv64",
    cpu="rv64",
    assembler=_assemble_riscv64,
    registers=(*((id_, 8) for id_ in rv(*range(1, 32))), *((id_, 8) for id_ in rvf(*range(32)))),
    load=(
        *_assign_riscv64("x31", BLOCK),
        *(f"{kind}ld {name}, {at}(x31)" for name, at, kind in _RV_PLACES), "ld x31, 240(x31)",
    ),
    jump=lambda at, to: [f"j {to - at}"],
    save=(
        *_assign_riscv64("x31", BLOCK),
        *(f"{kind}sd {name}, {at}(x31)" for name, at, kind in _RV_PLACES),
    ),
    assign=_assign_riscv64,
    arguments=("x10", "x11", "x12", "x13"),
    number="x17",
    call="ecall",
    numbers=(64, 93, 134, 132),
    context="x12",
    kept="x9",
    pc_at=176,
    flags=0x5,  # compressed instructions, floats in registers of 64 bits
    restorer=False,
)  # fmt: skip


def _assign_s390x(register: str, value: int | str) -> list[str]:
    return [f"{'lgr' if isinstance(value, str) else 'llilf'} {register}, {value}"]


# The block: r0 to r15, f0 to f15. r1 is what is lost. Keystone has no SVC.
_S390X: Final = Harness(
    machine=22,
    program="qemu-s390x",
    cpu="max",
    assembler=_by_keystone(keystone.KS_ARCH_SYSTEMZ, keystone.KS_MODE_BIG_ENDIAN),
    registers=(*((id_, 8) for id_ in gr(*range(16))), *((id_, 8) for id_ in fr(*range(16)))),
    load=(
        *_assign_s390x("%r1", BLOCK),
        *(f"ld %f{n}, {128 + 8 * n}(%r1)" for n in range(16)),
        "lmg %r0, %r15, 0(%r1)",
    ),
    jump=lambda _, to: [f"jg {to:#x}"],
    save=(
        *_assign_s390x("%r1", BLOCK),
        *(f"std %f{n}, {128 + 8 * n}(%r1)" for n in range(16)),
        "stmg %r0, %r15, 0(%r1)",
    ),
    assign=_assign_s390x,
    arguments=("%r2", "%r3", "%r4", "%r5"),
    number="%r1",
    call=".byte 0x0a, 0",
    numbers=(4, 1, 174, 186),
    context="%r4",
    kept="%r6",
    pc_at=48,
    order="big",
    past=True,
)  # fmt: skip


def _assign_arm(register: str, value: int | str) -> list[str]:
    if isinstance(value, str):
        return [f"mov {register}, {value}"]
    return [f"movw {register}, #{value & 0xFFFF}", f"movt {register}, #{value >> 16}"]


# The block: r0 to r12, sp, lr, flags, d0 to d31. r12 is what is lost.
_ARM_FLOATS: Final = 64
_ARM: Final = Harness(
    machine=40,
    program="qemu-arm",
    cpu="cortex-a15",
    assembler=_by_keystone(keystone.KS_ARCH_ARM, keystone.KS_MODE_ARM),
    registers=(
        *((register, 4) for register in ar(*range(15))),
        (int(arm.UC_ARM_REG_APSR_NZCV), 4),
        *((register, 8) for register in arm_floats("d", *range(32))),
    ),
    load=(
        *_assign_arm("r12", BLOCK + _ARM_FLOATS),
        "vldmia r12!, {d0-d15}", "vldmia r12!, {d16-d31}",
        *_assign_arm("r12", BLOCK),
        "ldr r0, [r12, #60]", "msr APSR_nzcvq, r0", "ldr sp, [r12, #52]", "ldr lr, [r12, #56]",
        "ldmia r12, {r0-r12}",
    ),
    jump=lambda _, to: [f"b #{to}"],
    save=(
        *_assign_arm("r12", BLOCK),
        "stmia r12, {r0-r11}", "str sp, [r12, #52]", "str lr, [r12, #56]", "mrs r0, apsr", "str r0, [r12, #60]",
        *_assign_arm("r12", BLOCK + _ARM_FLOATS),
        "vstmia r12!, {d0-d15}", "vstmia r12!, {d16-d31}",
    ),
    assign=_assign_arm,
    arguments=("r0", "r1", "r2", "r3"),
    number="r7",
    call="svc #0",
    numbers=(4, 1, 174, 186),
    context="r2",
    kept="r8",
    pc_at=20 + 12 + 15 * 4,
    flags=0x0500_0400,  # version 5 of the EABI, floats in registers
    word=4,
)  # fmt: skip


def _assign_mips64(register: str, value: int | str) -> list[str]:
    if isinstance(value, str):
        return [f"or {register}, {value}, $0"]
    return [f"lui {register}, {value >> 16:#x}", f"ori {register}, {register}, {value & 0xFFFF:#x}"]


def _bc(at: int, to: int) -> list[str]:
    """Release 6's, which Keystone does not know: opcode 0x32, the distance in words."""
    word = 0x32 << 26 | (to - at - 4 >> 2) & 0x3FF_FFFF
    return [".byte " + ", ".join(map(str, word.to_bytes(4, "big")))]


# The block: $1 to $31, f0 to f31. $1 is what is lost; $26 and $27 are the kernel's.
_MIPS64_FLOATS: Final = 248
_MIPS64_INT: Final = [(n, 8 * (n - 1)) for n in range(2, 32) if n not in (26, 27)]
_MIPS64: Final = Harness(
    machine=8,
    program="qemu-mips64",
    cpu="I6400",
    assembler=_by_keystone(keystone.KS_ARCH_MIPS, keystone.KS_MODE_MIPS64 | keystone.KS_MODE_BIG_ENDIAN),
    registers=(
        *((PADDING if n in (26, 27) else mr(n)[0], 8) for n in range(1, 32)),
        *((register, 8) for register in mf(*range(32))),
    ),
    load=(
        *_assign_mips64("$1", BLOCK),
        *(f"ldc1 $f{n}, {_MIPS64_FLOATS + 8 * n}($1)" for n in range(32)),
        *(f"ld ${n}, {at}($1)" for n, at in _MIPS64_INT), "ld $1, 0($1)",
    ),
    jump=_bc,
    save=(
        *_assign_mips64("$1", BLOCK),
        *(f"sdc1 $f{n}, {_MIPS64_FLOATS + 8 * n}($1)" for n in range(32)),
        *(f"sd ${n}, {at}($1)" for n, at in _MIPS64_INT),
    ),
    assign=_assign_mips64,
    arguments=("$4", "$5", "$6", "$7"),
    number="$2",
    call="syscall",
    numbers=(5001, 5058, 5013, 5129),
    context="$6",
    kept="$16",
    pc_at=40 + 64 * 8 + 8 * 8,
    flags=0xA000_0400,  # release 6, NaNs of 2008
    restorer=False,
    order="big",
    ucontext=640,
    mips=True,
)  # fmt: skip

HARNESSES: Final[dict[str, Harness]] = {
    "aarch64": _AARCH64,
    "x86_64": _X86_64,
    "riscv64": _RISCV64,
    "s390x": _S390X,
    "arm": _ARM,
    "mips64": _MIPS64,
}
"""By the name of the ISA."""
