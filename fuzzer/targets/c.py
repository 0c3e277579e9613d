"""Compilers of C: what is installed of gcc, clang, tcc and zig's, by one translation (:mod:`fuzzer.targets.c_ir`).

Each case is a file of C, a process, and an object file that :mod:`fuzzer.targets.elf` links. tcc has no integers of
128 bits and no builtins that say whether a sum overflows: cases with these are unsupported for it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Final, NamedTuple

from backend.errors import Unsupported
from backend.ir.opcodes import Opcode, resolve
from backend.ir.printer import print_functions
from backend.ir.types import I128, Type
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case, OptionValue
from fuzzer.execute.decode import listing
from fuzzer.targets.c_calls import fits_results
from fuzzer.targets.c_faults import known_fault
from fuzzer.targets.c_ir import Module, is_translated
from fuzzer.targets.elf import link
from fuzzer.targets.last_words import unchanging
from fuzzer.targets.llvm_traps import trap_code
from fuzzer.targets.target import CompileError, Option, Target, TargetHung, TargetUnavailable

_FLAGS: Final = ("-w", "-c")
_STRICT: Final = (
    "-std=gnu11", "-fPIC", "-fvisibility=hidden", "-ffp-contract=off", "-fno-strict-aliasing", "-fno-math-errno",
    "-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-ffreestanding",
)  # fmt: skip
"""What the big compilers are told: one module, floats as IEEE 754 has them, nothing around the code."""


class Compiler(NamedTuple):
    """``commands``: ISA -> the command, where it is installed; ``flags``: besides :data:`_FLAGS`."""

    commands: dict[str, tuple[str, ...]]
    flags: tuple[str, ...]


def _installed() -> dict[str, Compiler]:
    """The compilers that there are, by name, the first the default."""
    host = {"x86_64": "x86_64", "AMD64": "x86_64", "aarch64": "aarch64"}.get(platform.machine(), "")
    found: dict[str, Compiler] = {}

    def add(name: str, flags: tuple[str, ...], **commands: tuple[str, ...]) -> None:
        usable = {
            isa: words for isa, words in commands.items() if words[0] and shutil.which(words[0])
        }
        if usable:
            found[name] = Compiler(usable, flags)

    gcc = {isa: (f"{isa}-linux-gnu-gcc",) for isa in _ISAS}
    if host and shutil.which("gcc"):
        gcc[host] = ("gcc",)
    add("gcc", _STRICT, **gcc)
    add("clang", _STRICT, **{isa: ("clang", f"--target={isa}-unknown-linux-gnu") for isa in _ISAS})
    if host == "x86_64":
        add("tcc", (), x86_64=("tcc",))
    package = find_spec("ziglang")
    zig = str(Path(package.origin).parent / "zig") if package and package.origin else "zig"
    add("zig", (*_STRICT, "-fno-sanitize=all"),
        **{isa: (zig, "cc", "-target", f"{isa}-linux-gnu") for isa in _ISAS})  # fmt: skip
    return found


_ISAS: Final = ("x86_64", "aarch64")
COMPILERS: Final = _installed()
_OF: Final = {isa: tuple(n for n, c in COMPILERS.items() if isa in c.commands) for isa in _ISAS}
_NOT_TCC: Final = re.compile(r"(umulhi|smulhi|.*_overflow|sqrt)$")
_SECONDS: Final = 30.0
_MARK: Final = re.compile(rb"\x67\x0f\xb9\x80([\x00-\xff])\0\0\0", re.DOTALL)


class C(Target):
    """``compiler``: which; ``opt_level``: its ``-O``."""

    name = "c"
    isas = tuple(isa for isa in _ISAS if _OF[isa])
    canonical = False  # tcc's instructions are its own
    options: ClassVar[tuple[Option, ...]] = (
        *(Option("compiler", _OF[isa], "the compiler", (isa,)) for isa in _ISAS if _OF[isa]),
        Option("opt_level", (2, 0, 1, 3, "s"), "level of optimisation"),
    )
    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {
        "none": {"opt_level": 0},
        "speed": {"opt_level": 2},
    }

    def __init__(self) -> None:
        if not COMPILERS:
            raise TargetUnavailable(
                "target c finds none of gcc, clang, tcc and zig; pip install 'clifhanger[zig]' has zig"
            )
        self._seconds = _SECONDS
        self._versions: dict[str, str] = {}

    @property
    def version(self) -> str:
        return ", ".join(f"{name} {self._version(name)}" for name in COMPILERS)

    def _version(self, name: str) -> str:
        found = self._versions.get(name)
        if found is None:
            command = next(iter(COMPILERS[name].commands.values()))
            words = [
                command[0],
                *(("version",) if name == "zig" else ("-v",) if name == "tcc" else ("--version",)),
            ]
            said = subprocess.run(words, capture_output=True, text=True, check=False).stdout
            number = re.search(r"\d+\.\d+[\w.+-]*", said)
            found = self._versions[name] = number[0] if number else "of unknown version"
        return found

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        terms = (term for term in (*op.operands, *op.results) if term != "...")
        types = (resolve(term, type_, second) for term in terms)
        return is_translated(op, [t for t in types if t is not None])

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        return fits_results(isa, types)

    def limit(self, *, seconds: float, memory: int | None = None, soon: bool = False) -> None:
        self._seconds = min(_SECONDS, seconds / 2)

    def compile(self, case: Case) -> CompiledCode:
        name = str(case.options.get("compiler", next(iter(_OF[case.isa]), "")))
        compiler = COMPILERS.get(name)
        if compiler is None or case.isa not in compiler.commands:
            raise Unsupported(f"no compiler {name} for {case.isa} here")
        if name == "tcc":
            _refuse_for_tcc(case)
        module = Module(case.functions, case.isa, len(case.memory))
        text = module.translate()
        if self.excludes and (reason := known_fault(name, self._version(name), module)):
            raise Unsupported(reason)
        level = case.options.get("opt_level", 2)
        words = [*compiler.commands[case.isa], *_FLAGS, *compiler.flags, f"-O{level}"]
        linked = link(self._run(words, text))
        code, names = linked.code, module.symbols
        for reloc in linked.relocs:
            reloc.symbol = names.get(reloc.symbol, reloc.symbol)
        symbols = {names[symbol]: at for symbol, at in linked.symbols.items() if symbol in names}
        return CompiledCode(
            case.isa,
            code,
            relocs=linked.relocs,
            traps=_TRAPS[case.isa](code, linked.data),
            symbols={**symbols, "entry": symbols[case.function.name]},
            data_ranges=linked.data,
            stages={
                "clif": lambda: print_functions(case.functions),
                "c": lambda: text,
                "asm": lambda: listing(case.isa, code, linked.data),
                "bytes": code.hex,
            },
        )

    def _run(self, words: list[str], text: str) -> bytes:
        """The object file. CompileError, TargetHung if there is none."""
        # A folder for each case: a worker may be ended at any time, and zig keeps what it has compiled.
        with TemporaryDirectory(prefix="clifhanger-c-", ignore_cleanup_errors=True) as name:
            source, made = Path(name) / "case.c", Path(name) / "case.o"
            source.write_text(text)
            caches = dict.fromkeys(("ZIG_LOCAL_CACHE_DIR", "ZIG_GLOBAL_CACHE_DIR"), name)
            try:
                done = subprocess.run(
                    [*words, "-o", str(made), str(source)], capture_output=True, text=True, errors="replace",
                    check=False, timeout=self._seconds, stdin=subprocess.DEVNULL,
                    env={**os.environ, "LC_ALL": "C", **caches},
                )  # fmt: skip
            except subprocess.TimeoutExpired:
                raise TargetHung(f"no object file in {self._seconds:g} s") from None
            if done.returncode or not made.exists():
                lines = done.stderr.replace(name, "").splitlines()
                last = lines[-1] if lines else "nothing said"
                said = next((line for line in lines if "error" in line), last)
                raise CompileError(f"exit {done.returncode}: {said}", key=unchanging(said))
            return made.read_bytes()


def _refuse_for_tcc(case: Case) -> None:
    for function in case.functions:
        if I128 in function.value_types.values():
            raise Unsupported("tcc has no integers of 128 bits")
        for inst in function.instructions():
            if _NOT_TCC.match(inst.op.name):
                raise Unsupported(f"tcc has no builtin for {inst.op.name}")


def _end(code: bytes, data: list[tuple[int, int]]) -> int:
    return min((start for start, _ in data), default=len(code))


def _x86_64_traps(code: bytes, data: list[tuple[int, int]]) -> list[tuple[int, str]]:
    marks = _MARK.finditer(code, 0, _end(code, data))
    return [(mark.start(), trap_code(mark[1][0])) for mark in marks]


def _aarch64_traps(code: bytes, data: list[tuple[int, int]]) -> list[tuple[int, str]]:
    words = struct.iter_unpack("<I", code[: _end(code, data) // 4 * 4])
    mask, brk = 0xFFFFE01F, 0xD420_0000 | 0x5500 << 5
    return [
        (4 * index, trap_code(word >> 5 & 0xFF))
        for index, (word,) in enumerate(words)
        if word & mask == brk
    ]


_TRAPS: Final = {"x86_64": _x86_64_traps, "aarch64": _aarch64_traps}
