"""Who compiles. One file a target; one row here."""

from __future__ import annotations

from importlib import import_module
from typing import Final, NamedTuple

from fuzzer.targets.target import Target, TargetUnavailable

__all__ = ["TARGETS", "Row", "Target", "TargetUnavailable", "target_named"]


class Row(NamedTuple):
    """Where a target is defined, what it is, which extra of the distribution it needs, and the module whose ``build``
    makes what else it needs. ``argument``: what has to stand behind its name and a colon, if anything; ``name`` is then
    called with that."""

    module: str
    name: str
    doc: str
    extra: str = ""
    argument: str = ""
    builder: str = ""


TARGETS: Final[dict[str, Row]] = {
    "builtin": Row("fuzzer.targets.builtin", "Builtin", "the backend of this repository"),
    "c": Row("fuzzer.targets.c", "C", "gcc, clang, tcc and zig cc, by a translation to C", "c"),
    "cranelift": Row(
        "fuzzer.targets.cranelift", "Cranelift", "today's Cranelift, by a server on its crates",
        builder="fuzzer.targets.cranelift_build",
    ),
    "cranelift-py": Row(
        "fuzzer.targets.cranelift_py", "CraneliftPy", "Cranelift 0.120 through cranelift-py", "cranelift-py"
    ),
    "llvm": Row("fuzzer.targets.llvm", "Llvm", "LLVM through llvmlite", "llvm"),
    "process": Row(
        "fuzzer.targets.program",
        "program",
        "any program: process:./my-compiler",
        argument="PROGRAM [ARGUMENT ...]",
    ),
}  # fmt: skip


def target_named(name: str) -> Target:
    """A fresh instance of the target; TargetUnavailable with one clear line if there is none."""
    row, argument = TARGETS.get(name), ""
    if row is None:
        kind, _, argument = name.partition(":")
        row = TARGETS.get(kind)
        if row is None or not row.argument:
            raise TargetUnavailable(f"no target {name!r}; there are {', '.join(TARGETS)}")
    if row.argument and not argument.strip():
        raise TargetUnavailable(f"it is written {name.partition(':')[0]}:{row.argument}")
    try:
        module = import_module(row.module)
    except ImportError as error:
        hint = f"pip install 'clifhanger[{row.extra}]'" if row.extra else str(error)
        raise TargetUnavailable(f"target {name} needs {error.name}: {hint}") from error
    made: Target = getattr(module, row.name)(*([argument] if argument else []))
    return made
