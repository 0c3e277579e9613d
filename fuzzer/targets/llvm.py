"""LLVM's backends through llvmlite: a second opinion on the reference, and a compiler to find bugs in.

Functions get real ABI arguments and results, so the calling convention is tested as well. A fatal error of LLVM ends
the process: the worker dies, and its parent names the culprit.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

import llvmlite
from llvmlite import binding

from backend.errors import Unsupported
from backend.ir.opcodes import Opcode, resolve
from backend.ir.printer import print_functions
from backend.ir.types import I128, Type
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case, OptionValue
from fuzzer.execute.decode import decode
from fuzzer.execute.machines import MACHINES
from fuzzer.targets.elf import link
from fuzzer.targets.llvm_calls import NO_TAILS, TAIL_CALLS, is_passed
from fuzzer.targets.llvm_ir import Module, is_translated
from fuzzer.targets.llvm_marks import MARKED, marked_traps
from fuzzer.targets.llvm_traps import trap_code
from fuzzer.targets.target import CompileError, Option, Target

_TRIPLES: Final = {
    "aarch64": "aarch64-unknown-linux-gnu",
    "x86_64": "x86_64-unknown-linux-gnu",
    "riscv64": "riscv64-unknown-linux-gnu",
    "s390x": "s390x-unknown-linux-gnu",
}
_RELOC: Final = {"aarch64": "static", "x86_64": "pic", "riscv64": "pic", "s390x": "pic"}
_FEATURES: Final = {"riscv64": "+m,+a,+f,+d,+c"}
_ABI: Final = {"riscv64": "lp64d"}
# What llvm.ubsantrap(n) becomes: brk #0x5500 + n, and ud1l n(%eax), %eax with a displacement of 8 or 32 bits.
_TRAP_MASK: Final = 0xFFFFE01F
_TRAP_WORD: Final = 0xD420_0000 | 0x5500 << 5

BY_LIBRARY: Final = frozenset(
    {"udiv", "sdiv", "urem", "srem", "fcvt_from_uint", "fcvt_from_sint", "fcvt_to_uint", "fcvt_to_sint",
     "fcvt_to_uint_sat", "fcvt_to_sint_sat"}
)  # fmt: skip
"""What is a call of the run-time library at i128. On s390x that has no way to be passed one."""

_MAX_RESULTS: Final = 16
"""How many results are generated; there is no limit to them."""

#: messages of LLVM that say it has no way to do something, rather than that it failed
_UNSUPPORTED: Final = ("Cannot select", "unable to legalize", "not supported")


class Llvm(Target):
    """``opt_level``: the code generator's; ``midend``: also run the optimisation pipeline of that level."""

    name = "llvm"
    isas = tuple(_TRIPLES)
    isolated = True
    options: ClassVar[tuple[Option, ...]] = (
        Option(
            "opt_level", (2, 0, 1, 3), "level of the code generator, and of the mid-end if it runs"
        ),
        Option("midend", (True, False), "run LLVM's optimisation pipeline first"),
    )

    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {
        "none": {"opt_level": 0, "midend": False},
        "speed": {"opt_level": 2, "midend": True},
    }

    def __init__(self) -> None:
        binding.initialize_all_targets()
        binding.initialize_all_asmprinters()
        self._machines: dict[tuple[str, int], Any] = {}

    @property
    def version(self) -> str:
        major, minor, patch = binding.llvm_version_info
        return f"LLVM {major}.{minor}.{patch} (llvmlite {llvmlite.__version__})"

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        return len(types) <= _MAX_RESULTS and is_passed(types, isa)

    def conventions(self, isa: str) -> Mapping[str, frozenset[Type]]:
        return {"": frozenset({I128}) if not MACHINES[isa].conventions[""].pairs else frozenset()}

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        terms = (term for term in (*op.operands, *op.results) if term != "...")
        types = (resolve(term, type_, second) for term in terms)
        if op.name in TAIL_CALLS and isa in NO_TAILS:
            return False
        if isa == "s390x" and I128 in (type_, second) and op.name in BY_LIBRARY:
            return False
        return is_translated(op, [t for t in types if t is not None])

    def _machine(self, isa: str, level: int) -> Any:
        found = self._machines.get((isa, level))
        if found is None:
            target = binding.Target.from_triple(_TRIPLES[isa])
            # Absolute addresses would have to be known before the executor has a place for the code.
            found = target.create_target_machine(
                opt=level, reloc=_RELOC[isa], codemodel="small",
                features=_FEATURES.get(isa, ""), abiname=_ABI.get(isa, ""),
            )  # fmt: skip
            self._machines[isa, level] = found
        return found

    def compile(self, case: Case) -> CompiledCode:
        level = int(case.options.get("opt_level", 2))
        translation = Module(case.functions, case.isa, len(case.memory), level)
        text = translation.translate()
        machine = self._machine(case.isa, level)
        try:
            module = binding.parse_assembly(text)
        except RuntimeError as error:
            raise CompileError(
                f"LLVM can't read the translation: {error}", key="translation"
            ) from error
        module.triple = machine.triple
        module.data_layout = str(machine.target_data)
        module.verify()
        if case.options.get("midend", True):
            tuning = binding.create_pipeline_tuning_options(speed_level=level)
            passes = binding.create_pass_builder(machine, tuning)
            passes.getModulePassManager().run(module, passes)
        try:
            linked = link(machine.emit_object(module))
        except RuntimeError as error:
            if any(message in str(error) for message in _UNSUPPORTED):
                raise Unsupported(str(error)) from error
            raise CompileError(str(error)) from error
        code = linked.code
        return CompiledCode(
            case.isa,
            code,
            relocs=linked.relocs,
            traps=(
                marked_traps(case.isa, code, linked.marks)
                if case.isa in MARKED
                else _TRAPS[case.isa](code, linked.data)
            ),
            symbols={**linked.symbols, "entry": linked.symbols[translation.entry]},
            data_ranges=linked.data,
            stages={
                "clif": lambda: print_functions(case.functions),
                "llvm": lambda: text,
                "optimised": lambda: str(module),
                "asm": lambda: "\n".join(f"{at:6x}: {line}" for at, line in decode(case.isa, code)),
                "bytes": code.hex,
            },
        )


def _aarch64_traps(code: bytes, data: list[tuple[int, int]]) -> list[tuple[int, str]]:
    end = min((start for start, _ in data), default=len(code))
    words = struct.iter_unpack("<I", code[: end // 4 * 4])
    return [
        (4 * index, trap_code(word >> 5 & 0xFF))
        for index, (word,) in enumerate(words)
        if word & _TRAP_MASK & ~(0xFF << 5) == _TRAP_WORD
    ]


def _x86_64_traps(code: bytes, data: list[tuple[int, int]]) -> list[tuple[int, str]]:
    end = min((start for start, _ in data), default=len(code))
    found = []
    for offset, text in decode("x86_64", code[:end]):
        mnemonic, _, number = text.partition(" ")
        if mnemonic == "ud1":
            found.append((offset, trap_code(int(number, 0) & 0xFF)))
    return found


_TRAPS: Final = {"aarch64": _aarch64_traps, "x86_64": _x86_64_traps}
