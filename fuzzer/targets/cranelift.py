"""Today's Cranelift, by a server on its crates (targets/cranelift-server, docs/cranelift.md).

It reads CLIF, so nothing is translated: the functions go out as they are printed, and each option is a flag of
Cranelift's by its own name. What it lacks is said here as ``supports``; what it gets wrong is not, unless it is
known (:mod:`fuzzer.targets.cranelift_faults`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Final

from backend.errors import Unsupported
from backend.ir.opcodes import Opcode
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case, OptionValue
from fuzzer.targets.cranelift_faults import KEPT_BADLY, MADE_FAULTS, SEEN, form_fault, known_fault
from fuzzer.targets.process import ProcessTarget
from fuzzer.targets.target import CompileError, Option, TargetUnavailable

SOURCE: Final = Path(__file__).resolve().parents[2] / "targets" / "cranelift-server"
"""The server's sources: in a checkout and in the source distribution, not in a wheel."""
VARIABLE: Final = "CLIFHANGER_CRANELIFT_SERVER"
"""The environment variable that names a server built elsewhere."""


def server_path() -> Path:
    """Where the server is, or will be when it is built."""
    given = os.environ.get(VARIABLE)
    return Path(given) if given else SOURCE / "target" / "release" / "cranelift-server"


def _flags(*names: str, isas: tuple[str, ...] = (), feature: bool = False) -> tuple[Option, ...]:
    """Flags that are off by default."""
    return tuple(Option(name, (False, True), _DOCS[name], isas, feature) for name in names)


_ARM: Final = ("aarch64",)
_X86: Final = ("x86_64",)
_PINNING: Final = ("aarch64", "x86_64", "riscv64")
"""On s390x a pinned register panics: the corpus has it."""
_DOCS: Final = {
    "regalloc_checker": "check the register allocation",
    "is_pic": "position-independent code",
    "use_colocated_libcalls": "call the run-time library as if it were near",
    "enable_nan_canonicalization": "give every NaN that arithmetic makes the same bits",
    "enable_pinned_reg": "keep one register out of allocation",
    "preserve_frame_pointers": "keep a frame pointer in leaves, too",
    "machine_code_cfg_info": "tell where blocks begin",
    "enable_compact_unwind_abi": "save registers in the pairs that Apple's unwinder knows",
    "sign_return_address": "sign return addresses, by instructions that are hints",
    "sign_return_address_all": "sign them in leaves, too",
    "sign_return_address_with_bkey": "sign them with key B",
    "use_bti": "mark the targets of indirect branches",
    "use_csdb": "stop speculation where that is mitigated",
    "has_sse3": "SSE3", "has_ssse3": "SSSE3", "has_sse41": "SSE4.1", "has_sse42": "SSE4.2",
    "has_popcnt": "POPCNT", "has_lzcnt": "LZCNT",
}  # fmt: skip

#: what is always set: other probes are functions from outside, and without the extensions no i128 is passed
_FIXED: Final = {
    "aarch64": {"probestack_strategy": "inline"},
    "x86_64": {"probestack_strategy": "inline", "enable_llvm_abi_extensions": "true"},
    "riscv64": {"probestack_strategy": "inline"},
    "s390x": {"probestack_strategy": "inline"},
}

_OLD: Final = "0.120"
"""How the table of opcodes names those that today's Cranelift has no more."""

_RESULTS: Final = {"x86_64": (3, 2), "riscv64": (2, 2), "s390x": (4, 4)}
"""Integer and float registers that hold results. A pointer to others would have to be asked for
(``enable_multi_ret_implicit_sret``), which is deprecated."""

_DIVIDED: Final = frozenset({"umulhi", "smulhi", "udiv", "sdiv", "urem", "srem"})
_TO_INT: Final = frozenset({"fcvt_to_uint", "fcvt_to_sint", "fcvt_to_uint_sat", "fcvt_to_sint_sat"})
_CARRIED: Final = frozenset(
    {"uadd_overflow_cin", "sadd_overflow_cin", "usub_overflow_bin", "ssub_overflow_bin"}
)
#: opcode -> values of T at which Cranelift says, for any ISA, that it has no lowering; None: at all
_LACKS: Final[dict[str, frozenset[Type] | None]] = {
    **dict.fromkeys(_DIVIDED, frozenset({I128})),
    **dict.fromkeys(_CARRIED),
    "iconcat": frozenset({I8, I16, I32}),
    "isplit": frozenset({I16, I32, I64}),
}
#: the same for one ISA
_LACKS_ON: Final[dict[str, dict[str, frozenset[Type]]]] = {
    "aarch64": {
        "bitselect": frozenset({I128, F32, F64}),
        **dict.fromkeys(_TO_INT, frozenset({I128})),
    },
    "x86_64": dict.fromkeys(("smin", "umin", "smax", "umax"), frozenset({I128})),
    "riscv64": {
        "bitselect": frozenset({I128, F32, F64}),
        "iabs": frozenset({I128}),
        "uadd_overflow": frozenset({I8, I16, I128}),
        **dict.fromkeys(
            ("usub_overflow", "umul_overflow", "sadd_overflow", "ssub_overflow", "smul_overflow"),
            frozenset({I8, I16, I32, I64, I128}),
        ),
    },
    "s390x": dict.fromkeys(_TO_INT, frozenset({I128})),
}

#: what it says of an instruction that no rule takes
_NO_RULE: Final = re.compile(r"should be implemented in ISLE: inst = `(?:[^`=]*= )?([\w.]+)")


class Cranelift(ProcessTarget):
    """Options are the flags of Cranelift's that make a difference to code which the executor can run."""

    name = "cranelift"
    isas = ("aarch64", "x86_64", "riscv64", "s390x")
    options: ClassVar[tuple[Option, ...]] = (
        Option("opt_level", ("none", "speed", "speed_and_size"), "level of optimisation"),
        Option("regalloc_algorithm", ("backtracking", "single_pass"), "register allocator"),
        Option("enable_alias_analysis", (True, False), "drop redundant loads when optimising"),
        Option("enable_verifier", (True, False), "verify the IR between passes"),
        Option("unwind_info", (True, False), "make unwind information"),
        Option("enable_heap_access_spectre_mitigation", (True, False), "mitigate Spectre in bounds checks"),
        Option("enable_table_access_spectre_mitigation", (True, False), "mitigate Spectre in branch tables"),
        Option("enable_probestack", (False, True), "touch every page of a large frame"),
        Option("probestack_size_log2", (12, 10, 8), "log2 of the bytes of such a page"),
        Option("bb_padding_log2_minus_one", (0, 5, 10, 15), "zeros between blocks: log2 + 1 of their bytes"),
        Option("log2_min_function_alignment", (0, 6), "log2 of a function's alignment, at least"),
        *_flags("regalloc_checker", "is_pic", "use_colocated_libcalls", "enable_nan_canonicalization",
                "preserve_frame_pointers", "machine_code_cfg_info"),
        *_flags("enable_pinned_reg", isas=_PINNING),
        *_flags("enable_compact_unwind_abi", "sign_return_address", "sign_return_address_all",
                "sign_return_address_with_bkey", "use_bti", "use_csdb", isas=_ARM),
        *_flags("has_sse3", "has_ssse3", "has_sse41", "has_sse42", "has_popcnt", "has_lzcnt",
                isas=_X86, feature=True),
    )  # fmt: skip
    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {
        "none": {"opt_level": "none"},
        "speed": {"opt_level": "speed"},
    }

    def __init__(self) -> None:
        path = server_path()
        if not os.access(path, os.X_OK) or not path.is_file():
            raise TargetUnavailable(
                f"target cranelift has no server at {path}; `clifhanger doctor --build cranelift` builds it"
            )
        self.command = (str(path),)
        super().__init__()

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        lacking = _LACKS.get(op.name, frozenset())
        if op.only == _OLD or lacking is None or type_ in lacking:
            return False
        if type_ in _LACKS_ON[isa].get(op.name, ()) or form_fault(isa, op.name, type_) is not None:
            return False
        return not (op.name.startswith("fcvt_from_") and second is I128)

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        if isa not in _RESULTS:
            return super().fits_results(isa, types)
        ints, floats = _RESULTS[isa]
        used = sum(1 + (type_.bits > 64) for type_ in types if type_.is_int)
        return used <= ints and sum(type_.is_float for type_ in types) <= floats

    def conventions(self, isa: str) -> Mapping[str, frozenset[Type]]:
        return _CONVENTIONS[isa]

    def settings(self, case: Case) -> dict[str, str]:
        told = {**_FIXED[case.isa], **super().settings(case)}
        if case.isa == "x86_64" and any(
            inst.op.name.startswith("return_call")
            for function in case.functions
            for inst in function.instructions()
        ):
            # Its emission asserts that a function with a tail call has a frame pointer.
            told["preserve_frame_pointers"] = "true"
        return told

    def compile(self, case: Case) -> CompiledCode:
        for function in case.functions:
            for inst in function.instructions():
                if inst.op.only == _OLD:
                    raise Unsupported(f"{inst.op.name} is of Cranelift {_OLD} and before")
        if self.excludes and (reason := known_fault(case)):
            raise Unsupported(reason)
        try:
            made = super().compile(case)
        except Unsupported as reason:
            raise self._refused(case, str(reason)) from None
        if case.isa == "s390x":
            made.traps = [(trapping_from(made.code, at), trap) for at, trap in made.traps]
        made.dialect = self.name
        if self.excludes and case.isa in KEPT_BADLY:
            made.dialect = KEPT_BADLY[case.isa]
        # Its constants and branch tables stand between the instructions, and it does not tell where.
        made.mixed = True
        return made

    def _refused(self, case: Case, message: str) -> Exception:
        """What a refusal is: one of an instruction that nobody wrote is a failure."""
        found = _NO_RULE.search(message)
        if found is None:
            return Unsupported(message)
        form = found[1]
        name, _, type_ = form.partition(".")
        for function in case.functions:
            for inst in function.instructions():
                if inst.op.name == name and (
                    not type_ or inst.type is None or inst.type.name == type_
                ):
                    return Unsupported(f"no lowering of {form}")
        thread = MADE_FAULTS.get(case.isa, {}).get(form)
        if self.excludes and thread:
            return Unsupported(f"known fault of Cranelift {SEEN}: made {form} ({thread})")
        return CompileError(f"no lowering of {form}, which the optimiser made", key=f"made {form}")


#: what Cranelift lets trap on s390x, but for two bytes of zeros: DLGR, DLR, DSGR, DSGFR, CGRT, CLGRT, CRT, CLRT; CGIT,
#: CLGIT, CIT, CLFIT by their last byte
_TRAP_BY_TWO: Final = frozenset({0x87, 0x97, 0x0D, 0x1D, 0x60, 0x61, 0x72, 0x73})
_TRAP_IMMEDIATE: Final = frozenset({0x70, 0x71, 0x72, 0x73})


def trapping_from(code: bytes, at: int) -> int:
    """Where the instruction of s390x begins that Cranelift's record of a trap at ``at`` is about.

    An instruction has an even number of bytes. What accesses memory is told by its first byte, what else traps by its
    last one, since the PSW of a trap points behind it.
    """
    end = at + 1
    if end % 2:
        return at
    if end >= 4 and code[end - 4] == 0xB9 and code[end - 3] in _TRAP_BY_TWO:
        return end - 4
    if end >= 6 and code[end - 6] == 0xEC and code[end - 1] in _TRAP_IMMEDIATE:
        return end - 6
    return end - 2


_CONVENTIONS: Final[dict[str, dict[str, frozenset[Type]]]] = {
    "aarch64": {"": frozenset(), "system_v": frozenset(), "fast": frozenset(), "apple_aarch64": frozenset()},
    "x86_64": {"": frozenset(), "fast": frozenset(), "system_v": frozenset(), "windows_fastcall": frozenset({I128})},
    "riscv64": {"": frozenset(), "fast": frozenset(), "system_v": frozenset()},
    "s390x": {"": frozenset({I128}), "fast": frozenset({I128}), "system_v": frozenset({I128})},
}  # fmt: skip
