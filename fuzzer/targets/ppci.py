"""ppci, a compiler in pure Python with an intermediate language of its own (:mod:`fuzzer.targets.ppci_ir` speaks it).

What ppci leaves open is not asked for: traps, which it has none of, comparisons with NaNs, conversions of floats that
do not fit. Where it has no pattern of instructions for an operation at a type, that is not drawn. Where an access of
memory may fault is read off the code (:mod:`fuzzer.targets.read_traps`).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, ClassVar, Final

from ppci import api, ir

from backend.errors import Unsupported
from backend.ir.opcodes import Opcode
from backend.ir.printer import print_functions
from backend.ir.types import Type
from backend.machine.compiled import CompiledCode, Reloc
from fuzzer.case import Case, OptionValue
from fuzzer.execute.decode import listing
from fuzzer.targets.ppci_faults import known_failure
from fuzzer.targets.ppci_ir import ISA, Builder, Names, declared, is_built
from fuzzer.targets.read_traps import traps_read
from fuzzer.targets.target import CompileError, Option, Target

_UNCOVERED: Final = re.compile(r"Tree \w+(?:\[\w+\])?\((\w+)\(.* not covered")
_CHANGING: Final = re.compile(r"\d+|0x[0-9a-f]+|<.*?>|'.*?'")


class Ppci(Target):
    """``opt_level``: of the passes over the intermediate code; ``goal``: what instructions are selected for."""

    name = "ppci"
    isas = (ISA,)
    canonical = False
    #: it goes through sets of objects, in the order of their addresses
    repeats = False
    options: ClassVar[tuple[Option, ...]] = (
        Option("opt_level", (2, 0), "how much is optimised before instructions are selected"),
        Option("goal", ("speed", "size", "co2"), "what instructions are selected for"),
    )
    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {
        "none": {"opt_level": 0},
        "speed": {"opt_level": 2},
    }

    @property
    def version(self) -> str:
        return f"ppci {version('ppci')}"

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        return is_built(op, type_, second)

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        return len(types) <= 1

    def compile(self, case: Case) -> CompiledCode:
        names = {function.name: f"f{n}" for n, function in enumerate(case.functions)}
        module: Any = ir.Module("case")
        made = [declared(module, names[f.name], f) for f in case.functions]
        builder = Names(module, dict(zip(names, made, strict=True)), careful=self.excludes)
        for function, subroutine in zip(case.functions, made, strict=True):
            Builder(builder, function, subroutine).build()
        before = "\n".join(map(str, _lines(module)))
        try:
            api.optimize(module, case.options.get("opt_level", 2))
            obj = api.ir_to_object([module], ISA, opt=str(case.options.get("goal", "speed")))
        except NotImplementedError as error:
            raise Unsupported(f"not implemented: {_CHANGING.sub('#', str(error))}") from error
        except Exception as error:
            if isinstance(error, RuntimeError) and (tree := _UNCOVERED.search(str(error))):
                raise Unsupported(f"no instructions for {tree[1]}") from error
            if self.excludes and (reason := known_failure(error)):
                raise Unsupported(reason) from error
            text = f"{type(error).__name__}: {error}"
            raise CompileError(text[:300], key=_CHANGING.sub("#", text[:120])) from error
        back = {theirs.name: name for name, theirs in builder.functions.items()}
        code, symbols, relocs = _linked(obj, back)
        return CompiledCode(
            case.isa,
            code,
            relocs=relocs,
            traps=traps_read(case, code, sorted(symbols.values())),
            symbols={**symbols, "entry": symbols[case.function.name]},
            mixed=True,
            stages={
                "clif": lambda: print_functions(case.functions),
                "ppci": lambda: before,
                "asm": lambda: listing(case.isa, code),
                "bytes": code.hex,
            },
        )


def _lines(module: Any) -> list[Any]:
    return [line for f in module.functions for block in f.blocks for line in (block, *block)]


def _linked(obj: Any, names: dict[str, str]) -> tuple[bytes, dict[str, int], list[Reloc]]:
    """The code, where its functions are, and what it refers to that is not in it."""
    code = bytearray(obj.get_section("code").data)
    symbols: dict[str, int] = {}
    places: dict[int, int] = {}
    outside: dict[int, str] = {}
    for symbol in obj.symbols:
        if symbol.section is None:
            outside[symbol.id] = names[symbol.name]
            continue
        if symbol.section != "code":
            raise Unsupported(f"a symbol in the section {symbol.section}")
        places[symbol.id] = symbol.value
        if symbol.name in names and symbol.typ == "func":
            symbols[names[symbol.name]] = symbol.value
    relocs = []
    first, start = min(symbols.items(), key=lambda each: each[1])
    for reloc in obj.relocations:
        at, kind, known = reloc.offset, reloc.reloc_type, places.get(reloc.symbol_id)
        if kind == "rel32" and known is not None:
            struct.pack_into("<i", code, at, known - at + reloc.addend)
        elif kind == "rel32":
            relocs.append(Reloc(at, "pc_rel32", outside[reloc.symbol_id], reloc.addend))
        elif kind == "jmp8" and known is not None:
            struct.pack_into("<b", code, at, known - at - 1)
        elif kind == "abs64" and known is not None:
            relocs.append(Reloc(at, "abs64", first, known - start))
        else:
            raise Unsupported(f"a relocation of ppci's kind {kind}")
    return bytes(code), symbols, relocs
