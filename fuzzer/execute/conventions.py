"""The calling conventions that the executor knows: one row a convention, by ISA and name.

Sources: AAPCS64 (Procedure Call Standard for the Arm 64-bit Architecture, 6.1 machine registers, 6.8 parameter
passing, 6.9 results by way of x8); Apple's "Writing ARM64 code for Apple platforms" (x18, arguments on the stack);
System V Application Binary Interface, AMD64 Architecture Processor Supplement (3.2.1 registers, 3.2.3 parameter
passing); Microsoft's "x64 calling convention" and "x64 stack usage" (registers by position, home space, xmm6-xmm15);
RISC-V ELF psABI ("Integer calling convention", "Hardware floating-point calling convention": LP64D); s390x ELF ABI
supplement ("Registers", "The stack frame", "Parameter passing"); AAPCS32 (Procedure Call Standard for the Arm
Architecture, 6.1 machine registers, 6.4 and 6.5 parameter passing, 7.1 the VFP variant) and the Run-time ABI for the
Arm Architecture (4.1: its helper functions take floats in integer registers);
MIPSpro 64-Bit Porting and Transition Guide, "Subprogram Interface" (N64).
What these leave open of functions with several results, and of results in memory, is as Cranelift has it. Nothing here
is shared with the backend on purpose: where the two disagree, that is a finding.

What CLIF leaves to whoever compiles it has a *dialect* of its own where a compiler decides otherwise: the registers of
``tail`` and ``fast``, and whether a narrow value is extended where the signature says how. Of that Cranelift's
``ir::ArgumentExtension`` says that it is done "if the platform and ABI require it", and AAPCS64 (6.8.2, stage C) leaves
the bits above a value open. A dialect never replaces what a platform's standard says.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from unicorn import arm64_const as arm64
from unicorn import arm_const as arm
from unicorn import mips_const as mips
from unicorn import riscv_const as riscv
from unicorn import s390x_const as s390x
from unicorn import x86_const as x86

WORD: Final = (1 << 64) - 1
_WHOLE_VECTOR: Final = (1 << 128) - 1


@dataclass(frozen=True, slots=True)
class Saved:
    """A register that a function must give back as it got it; ``mask``: the bits that count."""

    name: str
    id: int
    mask: int = WORD


@dataclass(frozen=True, slots=True)
class Convention:
    """A calling convention. Register ids are Unicorn's.

    ``arguments``/``results``: integer registers in order; ``float_arguments``/``float_results``: float registers, 128
    bits each, of which a float takes the low ones (none: no floats in signatures). What does not fit in registers is
    on the stack from SP upward.

    ``saved``: what a function gives back as it got it. ``destroyed``: what a call destroys, but for the bits that are
    saved. ``reserved``: registers that nobody touches while a function of this convention runs, not
    even one of another that it calls: they are the platform's.

    ``pairs``: an i128 goes to two consecutive integer registers, the first of them ``"any"`` or one of
    an ``"even"`` place in the order, or its halves are ``"split"``, passed as two integers would be, or
    ``"aligned"``, the same but that one with no register at all is aligned to 16 bytes. No i128 is in
    signatures if it goes by its ``"address"``, as functions of the run-time library alone get one, or ``""``.
    ``pairs_close``: after one that did not fit no integer register is used.

    ``positional``: the register of an argument is that of its place among all arguments, whatever their classes.
    ``home``: bytes at the bottom of the stack arguments, which are the callee's to write. ``packed``: a stack
    argument takes no more bytes than its type, else at least 8. ``pops``: a function has, when it returns, taken its
    stack arguments off the stack, and what there was of a home with them; above them is another home.

    ``floats_on``: an argument that is a float for which no float register is left goes where an integer would.
    ``narrow_floats``: where in its register a float of 32 bits is: ``"low"``, below anything, ``"boxed"``, below ones,
    or ``"high"``. ``results_at_most``: registers that hold results, of both classes together. ``area``: do results that
    fit in no register go to memory (or are they not passed)?

    ``sret``: the register of a pointer to results that is a parameter, or -1: it is the first argument, which a
    function gives back in the first register of results if ``gives_back``.

    ``extends``: is a narrow integer extended as its signature says?

    ``context``: registers that hold the addresses of the arguments and of the results, all of which are in memory, in
    slots as on the stack (``()``: by registers and stack).

    ``word``: bits of an integer register, for a convention that only the run-time library is called by (0: it is none
    of those): an integer takes as many as it needs, from an even one on if more than one; ``high_first``: its upper
    half comes first; ``wide_floats``: the first float register that holds 64 bits, or -1: a float's register is that of
    its place among all arguments.
    """

    arguments: tuple[int, ...]
    results: tuple[int, ...]
    saved: tuple[Saved, ...]
    destroyed: tuple[int, ...]
    float_arguments: tuple[int, ...] = ()
    float_results: tuple[int, ...] = ()
    reserved: tuple[int, ...] = ()
    pairs: str = ""
    pairs_close: bool = False
    positional: bool = False
    home: int = 0
    packed: bool = False
    pops: bool = False
    floats_on: bool = False
    results_at_most: int = 16
    area: bool = True
    narrow_floats: str = "low"
    sret: int = -1
    gives_back: bool = True
    extends: bool = True
    context: tuple[int, ...] = ()
    word: int = 0
    high_first: bool = False
    wide_floats: int = -1

    @property
    def passes_pairs(self) -> bool:
        """May an i128 be in a signature?"""
        return self.pairs not in ("", "address")


def x(number: int) -> int:
    """Unicorn's id of x0..x30 (x29 and x30 are out of line)."""
    if number < 29:
        return int(arm64.UC_ARM64_REG_X0) + number
    return int((arm64.UC_ARM64_REG_X29, arm64.UC_ARM64_REG_X30)[number - 29])


def q(number: int) -> int:
    """Unicorn's id of q0..q31."""
    return int(arm64.UC_ARM64_REG_Q0) + number


_AAPCS64: Final = Convention(
    arguments=tuple(x(n) for n in range(8)),
    results=tuple(x(n) for n in range(8)),
    saved=tuple(Saved(f"x{n}", x(n)) for n in range(19, 30))
    + tuple(Saved(f"d{n}", int(arm64.UC_ARM64_REG_D0) + n) for n in range(8, 16)),
    destroyed=tuple(x(n) for n in range(19)) + tuple(q(n) for n in range(32)),
    float_arguments=tuple(q(n) for n in range(8)),
    float_results=tuple(q(n) for n in range(8)),
    pairs="even",
    pairs_close=True,
    sret=x(8),
)
_APPLE: Final = replace(
    _AAPCS64,
    saved=(Saved("x18", x(18)), *_AAPCS64.saved),
    destroyed=tuple(each for each in _AAPCS64.destroyed if each != x(18)),
    reserved=(x(18),),
    pairs="any",
    packed=True,
)


def r(*names: str) -> tuple[int, ...]:
    """Unicorn's ids of registers of x86-64 by name."""
    return tuple(int(getattr(x86, f"UC_X86_REG_{name.upper()}")) for name in names)


def _xmm(*numbers: int) -> tuple[int, ...]:
    return r(*(f"xmm{n}" for n in numbers))


_SYSTEM_V: Final = Convention(
    arguments=r("rdi", "rsi", "rdx", "rcx", "r8", "r9"),
    results=r("rax", "rdx"),
    saved=tuple(Saved(name, *r(name)) for name in ("rbx", "rbp", "r12", "r13", "r14", "r15")),
    destroyed=r("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11") + _xmm(*range(16)),
    float_arguments=_xmm(*range(8)),
    float_results=_xmm(0, 1),
    pairs="any",
)
_FASTCALL: Final = Convention(
    arguments=r("rcx", "rdx", "r8", "r9"),
    results=r("rax", "rdx"),
    saved=tuple(Saved(name, *r(name)) for name in ("rbx", "rbp", "rdi", "rsi", "r12", "r13", "r14", "r15"))
    + tuple(Saved(f"xmm{n}", _xmm(n)[0], _WHOLE_VECTOR) for n in range(6, 16)),
    destroyed=r("rax", "rcx", "rdx", "r8", "r9", "r10", "r11") + _xmm(*range(6)),
    float_arguments=_xmm(0, 1, 2, 3),
    float_results=_xmm(0),
    positional=True,
    home=32,
)  # fmt: skip


def rv(*numbers: int) -> tuple[int, ...]:
    """Unicorn's ids of x0..x31 of RISC-V."""
    return tuple(int(riscv.UC_RISCV_REG_X0) + n for n in numbers)


def rvf(*numbers: int) -> tuple[int, ...]:
    """Unicorn's ids of f0..f31 of RISC-V."""
    return tuple(int(riscv.UC_RISCV_REG_F0) + n for n in numbers)


_KEPT_BY_NUMBER: Final = (8, 9, *range(18, 28))
"""s0 to s11, and fs0 to fs11 as well, by the numbers of their registers."""
_LP64D: Final = Convention(
    arguments=rv(*range(10, 18)),
    results=rv(10, 11),
    saved=tuple(Saved(f"s{n}", *rv(number)) for n, number in enumerate(_KEPT_BY_NUMBER))
    + tuple(Saved(f"fs{n}", *rvf(number)) for n, number in enumerate(_KEPT_BY_NUMBER))
    + (Saved("gp", *rv(3)), Saved("tp", *rv(4))),
    destroyed=rv(5, 6, 7, *range(10, 18), *range(28, 32)) + rvf(*range(8), *range(10, 18), *range(28, 32)),
    float_arguments=rvf(*range(10, 18)),
    float_results=rvf(10, 11),
    reserved=rv(3, 4),
    pairs="aligned",
    floats_on=True,
    results_at_most=2,
    narrow_floats="boxed",
    gives_back=False,
)  # fmt: skip


def gr(*numbers: int) -> tuple[int, ...]:
    """Unicorn's ids of r0..r15 of s390x."""
    return tuple(int(s390x.UC_S390X_REG_R0) + n for n in numbers)


def fr(*numbers: int) -> tuple[int, ...]:
    """Unicorn's ids of f0..f15 of s390x."""
    return tuple(int(s390x.UC_S390X_REG_F0) + n for n in numbers)


#: r6 is an argument and yet to be given back: that is not looked at, and callees from outside leave it as it is.
_S390X: Final = Convention(
    arguments=gr(2, 3, 4, 5, 6),
    results=gr(2, 3, 4, 5),
    saved=tuple(Saved(f"r{n}", *gr(n)) for n in range(7, 14))
    + tuple(Saved(f"f{n}", *fr(n)) for n in range(8, 16)),
    destroyed=gr(*range(6)) + fr(*range(8)),
    float_arguments=fr(0, 2, 4, 6),
    float_results=fr(0, 2, 4, 6),
    pairs="address",
    home=160,
    narrow_floats="high",
    area=False,
    gives_back=False,
)


def ar(*numbers: int) -> tuple[int, ...]:
    """Unicorn's ids of r0..r15 of 32-bit Arm."""
    return tuple(int(getattr(arm, f"UC_ARM_REG_R{n}")) for n in numbers)


def arm_floats(kind: str, *numbers: int) -> tuple[int, ...]:
    """Unicorn's ids of registers of ``kind`` s, d or q."""
    return tuple(int(getattr(arm, f"UC_ARM_REG_{kind.upper()}0")) + n for n in numbers)


_ARM: Final = Convention(
    arguments=(),
    results=(),
    saved=tuple(Saved(f"r{n}", *ar(n)) for n in range(4, 12))
    + tuple(Saved(f"d{n}", *arm_floats("d", n)) for n in range(8, 16)),
    destroyed=ar(0, 1, 2, 3, 12) + arm_floats("q", *range(4), *range(8, 16)),
    pairs="any",
    gives_back=False,
    context=ar(0, 1),
)
_ARM_FLOATS: Final = arm_floats("s", *range(16)) + arm_floats("d", *range(8))
_ARM_LIBRARY: Final = replace(
    _ARM,
    arguments=ar(0, 1, 2, 3),
    results=ar(0, 1, 2, 3),
    float_arguments=_ARM_FLOATS,
    float_results=_ARM_FLOATS,
    context=(),
    word=32,
    wide_floats=16,
)


def mr(*numbers: int) -> tuple[int, ...]:
    """Unicorn's ids of $0..$31 of MIPS."""
    return tuple(int(mips.UC_MIPS_REG_0) + n for n in numbers)


def mf(*numbers: int) -> tuple[int, ...]:
    """Unicorn's ids of $f0..$f31 of MIPS."""
    return tuple(int(mips.UC_MIPS_REG_F0) + n for n in numbers)


_MIPS64: Final = Convention(
    arguments=(),
    results=(),
    saved=(
        *(Saved(f"s{n}", *mr(16 + n)) for n in range(8)),
        *(Saved("gp", *mr(28)), Saved("fp", *mr(30))),
        *(Saved(f"f{n}", *mf(n)) for n in range(24, 32)),
    ),
    destroyed=mr(*range(1, 16), 24, 25) + mf(*range(24)),
    pairs="any",
    gives_back=False,
    context=mr(4, 5),
)
_MIPS64_LIBRARY: Final = replace(
    _MIPS64,
    arguments=mr(*range(4, 12)),
    results=mr(2, 3),
    float_arguments=mf(*range(12, 20)),
    float_results=mf(0),
    context=(),
    word=64,
    high_first=True,
)


def _by_context(context: Convention, **libraries: Convention) -> dict[str, Convention]:
    return {**dict.fromkeys(("", "system_v", "fast", "cold"), context), **libraries}


def _with_aliases(system: Convention, **others: Convention) -> dict[str, Convention]:
    plain = dict.fromkeys(("", "system_v", "fast", "cold"), system)
    return {**plain, "tail": replace(system, pops=True), **others}


def _without(lost: str, convention: Convention) -> Convention:
    """A convention in which register ``lost`` need not be given back."""
    return replace(convention, saved=tuple(s for s in convention.saved if s.name != lost))


def in_dialect(dialect: str, name: str) -> str:
    """How the tables name convention ``name`` where the dialect has one of its own."""
    return f"{dialect}:{name}"


#: Source: Cranelift 0.135, ``compute_arg_locs``, ``get_intreg_for_retval`` and ``get_ext_mode`` of its ABIs. Its x86-64
#: returns a third integer in rcx, as LLVM does, if it is told to do as LLVM (``enable_llvm_abi_extensions``).
_CRANELIFT_AAPCS64: Final = replace(_AAPCS64, extends=False)
_CRANELIFT_SYSTEM_V: Final = replace(_SYSTEM_V, results=r("rax", "rdx", "rcx"))
_CRANELIFT_LP64D: Final = replace(_LP64D, results_at_most=4)
_CRANELIFT_FS1: Final = _without("fs1", _CRANELIFT_LP64D)
_CRANELIFT: Final[dict[str, dict[str, Convention]]] = {
    "aarch64": {
        **dict.fromkeys(("", "system_v", "fast"), _CRANELIFT_AAPCS64),
        "tail": replace(_CRANELIFT_AAPCS64, arguments=tuple(x(n) for n in range(2, 8)), pops=True,
                        results=tuple(x(n) for n in range(2, 8)), pairs_close=False),
    },
    "x86_64": {
        **dict.fromkeys(("", "system_v"), _CRANELIFT_SYSTEM_V),
        "fast": replace(_CRANELIFT_SYSTEM_V, pairs="split"),
        "tail": replace(_SYSTEM_V, pairs="split", pops=True, float_results=_xmm(*range(8)),
                        results=r("rax", "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10")),
    },
    # A float goes to the stack where LP64D has it in an integer register: a fault, of a signature that is left out.
    "riscv64": {
        **dict.fromkeys(("", "system_v", "fast"), _CRANELIFT_LP64D),
        "tail": replace(_CRANELIFT_LP64D, pops=True),
    },
    "s390x": {
        **dict.fromkeys(("", "system_v", "fast"), _S390X),
        "tail": replace(_without("r7", _S390X), arguments=gr(*range(2, 8)), results=gr(*range(2, 8)), pops=True,
                        destroyed=(*_S390X.destroyed, *gr(6, 7))),
    },
}  # fmt: skip

_CRANELIFT_FAULTY: Final[dict[str, dict[str, Convention]]] = {
    "riscv64": {
        **dict.fromkeys(("", "system_v", "fast"), _CRANELIFT_FS1),
        "tail": replace(_CRANELIFT_FS1, pops=True),
    },
}
"""The dialect of a campaign that steps around a known fault, ``cranelift_fs1``: Cranelift 0.135 does not save fs1."""

CONTEXT: Final = "context"
"""The dialect of a compiler that puts a wrapper around the function, so that it is called by a context."""


def _wrapped(system: Convention) -> Convention:
    """By two addresses, where ``system`` passes the first two integers; else as ``system``."""
    return Convention(
        arguments=(),
        results=(),
        saved=system.saved,
        destroyed=system.destroyed,
        reserved=system.reserved,
        pairs="any",
        home=system.home,
        gives_back=False,
        context=system.arguments[:2],
    )


_SYSTEMS: Final = {"aarch64": _AAPCS64, "x86_64": _SYSTEM_V, "riscv64": _LP64D, "s390x": _S390X}
_WRAPPED: Final[dict[str, dict[str, Convention]]] = {
    isa: dict.fromkeys(("", "system_v", "fast", "cold", "tail"), _wrapped(system))
    for isa, system in _SYSTEMS.items()
}

CONVENTIONS: Final[dict[str, dict[str, Convention]]] = {
    isa: {
        **table,
        **{in_dialect(CONTEXT, name): row for name, row in _WRAPPED.get(isa, {}).items()},
        **{in_dialect("cranelift", name): row for name, row in _CRANELIFT.get(isa, {}).items()},
        **{
            in_dialect("cranelift_fs1", name): row
            for name, row in _CRANELIFT_FAULTY.get(isa, {}).items()
        },
    }
    for isa, table in {
        "aarch64": _with_aliases(_AAPCS64, apple_aarch64=_APPLE),
        "x86_64": _with_aliases(_SYSTEM_V, windows_fastcall=_FASTCALL),
        "riscv64": _with_aliases(_LP64D),
        "s390x": dict.fromkeys(("", "system_v", "fast", "cold"), _S390X),
        "arm": _by_context(
            _ARM,
            library=_ARM_LIBRARY,
            soft_library=replace(_ARM_LIBRARY, float_arguments=(), float_results=()),
        ),
        "mips64": _by_context(_MIPS64, library=_MIPS64_LIBRARY),
    }.items()
}
"""By the name of the ISA, by that of the convention as CLIF has it, or as :func:`in_dialect` has."""
