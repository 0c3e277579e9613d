"""Cranelift 0.120 through the bindings ``cranelift-py`` (:mod:`fuzzer.targets.cranelift_py_ir` builds the functions).

The bindings tell nothing of traps, so where code may trap is read off the code (:mod:`fuzzer.targets.read_traps`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, ClassVar, Final

import cranelift as bindings

from backend.errors import Unsupported
from backend.ir.opcodes import Opcode, resolve
from backend.ir.printer import print_functions
from backend.ir.types import I8, I16, I32, I64, I128, Type
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case, OptionValue
from fuzzer.execute.decode import listing
from fuzzer.targets.cranelift import Cranelift
from fuzzer.targets.cranelift_faults import MADE_FAULTS, form_fault, known_fault
from fuzzer.targets.cranelift_py_ir import Module, is_built
from fuzzer.targets.elf import link
from fuzzer.targets.last_words import last_words
from fuzzer.targets.read_traps import traps_read
from fuzzer.targets.target import CompileError, Option, Target

if TYPE_CHECKING:
    from collections.abc import Iterator

_ISAS: Final = ("x86_64",)
_TRIPLE: Final = "x86_64-unknown-linux-gnu"
_ABSENT: Final = ("regalloc_algorithm",)
"""Flags of today's Cranelift that 0.120 has no choice of."""
_FIXED: Final = {"probestack_strategy": "inline", "enable_llvm_abi_extensions": "true"}
_RESULTS: Final = (3, 2)
"""Integer and float registers that hold results."""
_N: Final = (I8, I16, I32, I64)
_LACKS: Final[dict[str, tuple[Type, ...]]] = {
    **dict.fromkeys(("umulhi", "smulhi", "udiv", "sdiv", "urem", "udiv_imm", "sdiv_imm", "urem_imm",
                     "smin", "umin", "smax", "umax"), (I128,)),
    **dict.fromkeys(("cls", "uadd_overflow_cin", "sadd_overflow_cin", "usub_overflow_bin", "ssub_overflow_bin"),
                    (*_N, I128)),
    "iconcat": (I8, I16, I32), "isplit": (I16, I32, I64),
    **dict.fromkeys(("get_frame_pointer", "get_return_address", "get_pinned_reg", "set_pinned_reg"), (I32, I64)),
}  # fmt: skip
"""Opcode -> values of T at which 0.120 says that it has no lowering for x86-64, or that options are wanted."""
_FAULTY: Final[dict[str, tuple[Type, ...]]] = dict.fromkeys(("srem", "srem_imm"), (I128,))
"""The same where it panics; what today's Cranelift does, too, is in :mod:`fuzzer.targets.cranelift_faults`."""
_NO_RULE: Final = re.compile(r"should be implemented in ISLE: inst = `(?:[^`]*= )?([\w.]+)")
_FOLDER: Final = re.compile(r"\S*/(?=cranelift\S*/src/)")
"""Where the crates were on the machine that built the bindings."""


class CraneliftPy(Target):
    """Options are flags of Cranelift's by their own names."""

    name = "cranelift-py"
    isas = _ISAS
    isolated = True
    options: ClassVar[tuple[Option, ...]] = tuple(
        option
        for option in Cranelift.options
        if not option.feature and option.name not in _ABSENT and option.isas in ((), _ISAS)
    )
    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {
        "none": {"opt_level": "none"},
        "speed": {"opt_level": "speed"},
    }

    def __init__(self) -> None:
        self._isas: dict[tuple[tuple[str, str], ...], Any] = {}

    @property
    def version(self) -> str:
        return f"Cranelift 0.120 (cranelift-py {version('cranelift-py')})"

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        if type_ in (*_LACKS.get(op.name, ()), *_FAULTY.get(op.name, ())):
            return False
        if form_fault(isa, op.name, type_) or op.name == "stack_switch":
            return False
        if op.name.startswith("fcvt_from_") and second is I128:
            return False
        terms = (term for term in (*op.operands, *op.results) if term != "...")
        types = (resolve(term, type_, second) for term in terms)
        return is_built(op, [t for t in types if t is not None])

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        ints, floats = _RESULTS
        used = sum(1 + (type_ is I128) for type_ in types if type_.is_int)
        return used <= ints and sum(type_.is_float for type_ in types) <= floats

    def conventions(self, isa: str) -> Mapping[str, frozenset[Type]]:
        plain = dict.fromkeys(("", "fast", "system_v"), frozenset[Type]())
        return {**plain, "windows_fastcall": frozenset({I128})}

    def compile(self, case: Case) -> CompiledCode:
        if self.excludes and (reason := known_fault(case)):
            raise Unsupported(reason)
        module = Module(case.functions, self._isa(case))
        with _overheard() as said:
            try:
                obj = module.compile()
            except ValueError as error:
                if "Verifier" in str(error):
                    raise CompileError(str(error), key="verifier") from None
                raise self._refused(case, str(error)) from None
            except BaseException as error:
                # A panic of Rust's is none of Python's exceptions.
                if type(error).__name__ != "PanicException":
                    raise
                raise _panic(said) from None
        linked = link(obj)
        code, names = linked.code, module.names
        symbols = {names.get(symbol, symbol): at for symbol, at in linked.symbols.items()}
        return CompiledCode(
            case.isa,
            code,
            relocs=[
                replace(reloc, symbol=names.get(reloc.symbol, reloc.symbol))
                for reloc in linked.relocs
            ],
            traps=traps_read(case, code, sorted(linked.symbols.values())),
            symbols={**symbols, "entry": symbols[case.function.name]},
            data_ranges=linked.data,
            mixed=True,
            dialect="cranelift",
            stages={
                "clif": lambda: print_functions(case.functions),
                "asm": lambda: listing(case.isa, code, linked.data),
                "bytes": code.hex,
            },
        )

    def _refused(self, case: Case, message: str) -> Exception:
        """What a refusal is: one of an instruction that nobody wrote is a failure of the optimiser."""
        found = _NO_RULE.search(message)
        if found is None:
            return Unsupported(message)
        name, _, _ = found[1].partition(".")
        if any(name == inst.op.name for f in case.functions for inst in f.instructions()):
            return Unsupported(f"no lowering of {found[1]}")
        thread = MADE_FAULTS.get(case.isa, {}).get(found[1])
        if self.excludes and thread:
            return Unsupported(f"known fault of Cranelift: made {found[1]} ({thread})")
        return CompileError(
            f"no lowering of {found[1]}, which the optimiser made", key=f"made {found[1]}"
        )

    def _isa(self, case: Case) -> Any:
        flags = {**_FIXED, **{name: str(value).lower() for name, value in case.options.items()}}
        if any(
            inst.op.name.startswith("return_call")
            for f in case.functions
            for inst in f.instructions()
        ):
            # Its emission asserts that a function with a tail call has a frame pointer.
            flags["preserve_frame_pointers"] = "true"
        key = tuple(sorted(flags.items()))
        found = self._isas.get(key)
        if found is None:
            found = self._isas[key] = bindings.TargetIsa(_TRIPLE, **flags)
        return found


@contextmanager
def _overheard() -> Iterator[IO[bytes]]:
    """The file that holds what is said on the standard streams meanwhile. The bindings print errors on one, a panic
    says on the other where it was."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    with TemporaryFile() as said:
        try:
            for number, _ in kept:
                os.dup2(said.fileno(), number)
            yield said
        finally:
            for number, copy in kept:
                os.dup2(copy, number)
                os.close(copy)


def _panic(said: IO[bytes]) -> CompileError:
    said.seek(0)
    # The first lines: a backtrace would follow.
    text = said.read(4096).decode("utf-8", "replace").partition("stack backtrace")[0]
    words = last_words(_FOLDER.sub("", text))
    return CompileError(words.text, key=words.key)
