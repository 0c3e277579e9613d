"""Building the blobs of :mod:`fuzzer.execute.runtime` with Zig, which brings the sources and a compiler for every ISA.

Zig's compiler_rt has the integer and float routines of LLVM's, and the functions of libm and those on memory that
compilers call, in one file of source. It is compiled for a machine without an operating system: no routine sets
``errno``, asks for a rounding mode or for what the processor has. What code must not use under Unicorn the CPUs leave
out: VEX-encoded instructions on x86-64, atomics by call on AArch64, vectors on z/Architecture.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final, NamedTuple

from fuzzer.execute import layout
from fuzzer.execute.runtime import BUILT_FOR, blob_of, file_of


class BuildError(Exception):
    """One line about what is missing or went wrong."""


class _Machine(NamedTuple):
    """``triple``, ``cpu``: by Zig's names. ``fixed``: is it code that knows where it is?"""

    triple: str
    cpu: str
    fixed: bool = False


_MACHINES: Final = {
    "aarch64": _Machine("aarch64-freestanding-none", "generic"),
    "x86_64": _Machine("x86_64-freestanding-none", "x86_64"),
    "riscv64": _Machine("riscv64-freestanding-none", "baseline_rv64"),
    "s390x": _Machine("s390x-freestanding-none", "z10"),
    "arm": _Machine("arm-freestanding-eabihf", "cortex_a15"),
    "mips64": _Machine("mips64-freestanding-gnuabi64", "mips64r2", fixed=True),
}
assert tuple(_MACHINES) == BUILT_FOR


def build(say: Callable[[str], None], isas: Sequence[str] = BUILT_FOR) -> Path:
    """Build the blobs, and say in what folder they are. ``say`` gets Zig's lines. BuildError if something fails."""
    spec = find_spec("ziglang")
    if spec is None or spec.origin is None:
        raise BuildError("it needs ziglang: pip install 'clifhanger[zig]'")
    if find_spec("elftools") is None:
        raise BuildError("it needs pyelftools: pip install 'clifhanger[zig]'")
    source = Path(spec.origin).with_name("lib") / "compiler_rt.zig"
    if not source.is_file():
        raise BuildError(f"this ziglang has no {source}")
    try:
        for isa in isas:
            say(f"compiling the run-time library for {isa}")
            _build_one(isa, source, say)
    except OSError as error:
        raise BuildError(f"{error.filename}: {error.strerror}") from None
    return file_of(isas[0]).parent


def _build_one(isa: str, source: Path, say: Callable[[str], None]) -> None:
    machine, to = _MACHINES[isa], file_of(isa)
    to.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="clifhanger-runtime-") as folder:
        made, linked = f"{folder}/made.o", f"{folder}/linked.elf"
        where = "-fno-PIC" if machine.fixed else "-fPIC"
        _zig(say, "build-obj", "-target", machine.triple, f"-mcpu={machine.cpu}", "-OReleaseSmall", "-fstrip",
             "-fno-unwind-tables", where, str(source), f"-femit-bin={made}",
             "--cache-dir", f"{folder}/cache", "--global-cache-dir", f"{folder}/cache")  # fmt: skip
        # --no-relax: the register that RISC-V reaches data from would have to be set.
        _zig(say, "ld.lld", "-static", "--no-relax", "--entry=0", f"--image-base={layout.RUNTIME:#x}",
             "-z", "max-page-size=4096", "-z", "separate-loadable-segments", made, "-o", linked)  # fmt: skip
        content = Path(linked).read_bytes()
    # Beside it first: whoever looks meanwhile sees the old one, or the new one, whole.
    beside = to.with_name(f"{to.name}.{os.getpid()}")
    beside.write_bytes(content)
    beside.replace(to)
    blob_of.cache_clear()
    if blob_of(isa) is None:
        raise BuildError(f"Zig made no library for {isa} that fits: {to}")


def _zig(say: Callable[[str], None], *arguments: str) -> None:
    with subprocess.Popen(
        (sys.executable, "-m", "ziglang", *arguments), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        lines = [line.rstrip() for line in process.stdout]
    for line in lines:
        say(line)
    if process.returncode:
        wrong = next((line for line in lines if "error" in line), "it does not say why")
        raise BuildError(f"zig {arguments[0]} ended with status {process.returncode}: {wrong}")
