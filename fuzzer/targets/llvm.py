"""LLVM's backends through llvmlite: a second opinion on the reference, and a compiler to find bugs in.

Functions get real ABI arguments and results, so the calling convention is tested as well. LLVM runs in a process of its
own (:mod:`fuzzer.targets.llvm_server`), one for each set of options that are its process's, and may die there.
"""

from __future__ import annotations

import re
import signal
import struct
import sys
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Final

from backend.errors import Unsupported
from backend.ir.opcodes import Opcode, resolve
from backend.ir.printer import print_functions
from backend.ir.types import I128, Type
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case, OptionValue
from fuzzer.execute.decode import decode, listing
from fuzzer.execute.machines import MACHINES
from fuzzer.targets.elf import link
from fuzzer.targets.llvm_calls import NO_TAILS, TAIL_CALLS, is_passed
from fuzzer.targets.llvm_complaints import explained, judged, refusal
from fuzzer.targets.llvm_faults import known_fault
from fuzzer.targets.llvm_ir import Module, is_translated
from fuzzer.targets.llvm_marks import MARKED, marked_traps
from fuzzer.targets.llvm_options import OPTIONS, features, flags, selector
from fuzzer.targets.llvm_traps import CALLED, trap_code
from fuzzer.targets.process import ProcessTarget
from fuzzer.targets.target import CompileError, Option, ProtocolError, TargetDied, TargetUnavailable

SERVER: Final = Path(__file__).with_name("llvm_server.py")
"""The program that has LLVM."""

_TRIPLES: Final = {
    "aarch64": "aarch64-unknown-linux-gnu",
    "x86_64": "x86_64-unknown-linux-gnu",
    "riscv64": "riscv64-unknown-linux-gnu",
    "s390x": "s390x-unknown-linux-gnu",
    "arm": "armv7a-unknown-linux-gnueabihf",
    "mips64": "mips64-unknown-linux-gnuabi64",
    # Nothing here runs code for these: they are compiled for, and what comes is looked at.
    "ppc64le": "powerpc64le-unknown-linux-gnu",
    "loongarch64": "loongarch64-unknown-linux-gnu",
}
_RELOC: Final = {isa: "static" if isa in ("aarch64", "mips64") else "pic" for isa in _TRIPLES}
_FEATURES: Final = {
    "riscv64": "+m,+a,+f,+d,+c",
    "mips64": "+noabicalls",
    "loongarch64": "+64bit,+f,+d",
}
"""What is said of every processor, beside what is drawn."""
_CPUS: Final = {"arm": "cortex-a15", "mips64": "mips64r6"}
"""The processor that is named, where the ISA's plainest knows less than the executor's."""
_ABI: Final = {"riscv64": "lp64d", "loongarch64": "lp64d"}
"""The name of the ABI, where LLVM knows several and would take another."""
# What llvm.ubsantrap(n) becomes: brk #0x5500 + n, and ud1l n(%eax), %eax with a displacement of 8 or 32 bits.
_TRAP_MASK: Final = 0xFFFFE01F
_TRAP_WORD: Final = 0xD420_0000 | 0x5500 << 5

_MAX_RESULTS: Final = 16
"""How many results are generated; there is no limit to them."""

_START: Final = 60.0
"""Seconds in which LLVM should be loaded, on a busy machine."""
_DIED: Final = re.compile(r"died (-?\d+) (\d+)")
_KILLED: Final = (-signal.SIGKILL, -signal.SIGTERM)
"""What a compiler dies of through no fault of its own."""


class Llvm(ProcessTarget):
    """``opt_level``: the code generator's; ``midend``: also run the optimisation pipeline of that level; the others
    are told in :mod:`fuzzer.targets.llvm_options`."""

    name = "llvm"
    isas = tuple(_TRIPLES)
    options: ClassVar[tuple[Option, ...]] = OPTIONS
    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {
        "none": {"opt_level": 0, "midend": False},
        "speed": {"opt_level": 2, "midend": True},
    }
    #: -P: the modules beside the server are none of Python's own
    command: Sequence[str] = (sys.executable, "-P", str(SERVER))

    def __init__(self) -> None:
        if self.command[0] == sys.executable and find_spec("llvmlite") is None:
            raise TargetUnavailable(
                f"target {self.name} needs llvmlite: pip install 'clifhanger[llvm]'"
            )
        super().__init__()
        self._fresh = False

    @property
    def version(self) -> str:
        self._start()
        return self._version

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        return len(types) <= _MAX_RESULTS and is_passed(types, isa)

    def conventions(self, isa: str) -> Mapping[str, frozenset[Type]]:
        machine = MACHINES.get(isa)
        passed = machine is None or machine.conventions[""].passes_pairs
        return {"": frozenset() if passed else frozenset({I128})}

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        terms = (term for term in (*op.operands, *op.results) if term != "...")
        types = (resolve(term, type_, second) for term in terms)
        if op.name in TAIL_CALLS and isa in NO_TAILS:
            return False
        return is_translated(op, [t for t in types if t is not None])

    def renew(self) -> None:
        """The next case is compiled by a process that is forked for it."""
        self._fresh = True

    def compile(self, case: Case) -> CompiledCode:
        level, by = int(case.options.get("opt_level", 2)), selector(case.isa, case.options)
        verifying = bool(case.options.get("verify", False))
        optimised = level > 0 and bool(case.options.get("midend", True))
        if self.excludes and (
            reason := known_fault(case.isa, by, optimised, verifying, case.functions)
        ):
            raise Unsupported(reason)
        translation = Module(
            case.functions, case.isa, len(case.memory), level, by,
            wrapped=bool(case.options.get("wrapped", False)), excludes=self.excludes,
        )  # fmt: skip
        text = translation.translate()
        question = self._question(case, text)
        linked = link(self._object(question))
        code, isa = linked.code, case.isa
        if isa in CALLED:
            traps = [(at, trap_code(number)) for at, number in linked.marks]
        elif isa in MARKED:
            traps = marked_traps(isa, code, linked.marks)
        else:
            traps = _TRAPS.get(isa, _no_traps)(code, linked.data)
        return CompiledCode(
            case.isa,
            code,
            relocs=linked.relocs,
            traps=traps,
            symbols={**linked.symbols, "entry": linked.symbols[translation.entry]},
            data_ranges=linked.data,
            dialect=translation.dialect,
            stages={
                "clif": lambda: print_functions(case.functions),
                "llvm": lambda: text,
                "optimised": lambda: self._answer({**question, "want": "text"}),
                "asm": lambda: listing(case.isa, code, linked.data),
                "bytes": code.hex,
            },
        )

    def _question(self, case: Case, text: str) -> dict[str, str]:
        """What is asked, by the names of :mod:`fuzzer.targets.llvm_server`; ``""`` is the IR's."""
        options = case.options
        return {
            "flags": flags(options),
            "triple": _TRIPLES[case.isa],
            "features": ",".join(
                filter(None, (_FEATURES.get(case.isa), features(case.isa, options)))
            ),
            "abi": _ABI.get(case.isa, ""),
            "cpu": _CPUS.get(case.isa, ""),
            # Absolute addresses would have to be known before the executor has a place for the code.
            "reloc": _RELOC[case.isa],
            "level": str(options.get("opt_level", 2)),
            "midend": "yes" if options.get("midend", True) else "no",
            "": text,
        }

    def _object(self, question: dict[str, str]) -> bytes:
        answer = self._answer(question)
        try:
            return bytes.fromhex(answer)
        except ValueError:
            raise ProtocolError(f"an object that begins with {answer[:40]!r}") from None

    def _answer(self, question: dict[str, str]) -> str:
        """What follows ``ok``. Unsupported, CompileError or TargetDied if LLVM does not say that."""
        self._start()
        fresh, self._fresh = self._fresh, False
        given = {**question, "fresh": "yes"} if fresh else question
        head = "".join(f"{name} {value}\n" for name, value in given.items() if name and value)
        try:
            kind, rest = self._patiently(f"compile\n{head}\n{question['']}")
        except TargetDied as died:
            raise explained(died) from None
        if kind == "ok":
            return rest
        if kind == "error parse":
            raise CompileError(
                f"LLVM can't read the translation: {rest.strip()}", key="translation"
            )
        if kind == "error emit":
            raise judged(refusal(rest))
        raise ProtocolError(f"a reply that begins with {kind[:40]!r}")

    def _patiently(self, question: str) -> tuple[str, str]:
        """Asked again if it was killed from outside."""
        try:
            return self._once(question)
        except TargetDied as died:
            if died.status not in _KILLED:
                raise
        return self._once(question)

    def _once(self, question: str) -> tuple[str, str]:
        """The answer's first line, and what follows."""
        kind, _, rest = self.server.ask(question).partition("\n")
        if died := _DIED.fullmatch(kind):
            status, resident = map(int, died.groups())
            crowded = self.memory is not None and resident > self.memory // 2
            raise TargetDied(status, self.server.said, crowded=crowded)
        return kind, rest

    def _start(self) -> None:
        self.server.warm_up("describe", seconds=_START)


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


def _no_traps(code: bytes, data: list[tuple[int, int]]) -> list[tuple[int, str]]:
    """Of code that nobody runs."""
    return []


_TRAPS: Final = {"aarch64": _aarch64_traps, "x86_64": _x86_64_traps}
