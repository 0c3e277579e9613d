"""Who compiles. One file a target; one row here."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Final, NamedTuple

from fuzzer.targets.target import Target, TargetUnavailable

__all__ = [
    "TARGETS",
    "Row",
    "Target",
    "TargetUnavailable",
    "family",
    "is_known",
    "target_named",
    "versions_here",
]


class Row(NamedTuple):
    """Where a target is defined, what it is, which extra of the distribution it needs, and the module whose ``build``
    makes what else it needs. ``argument``: what has to stand behind its name and a colon, if anything; ``name`` is then
    called with that. ``versions``: the module that has other versions of the compiler, named ``NAME@VERSION``: its
    ``target(version)`` makes one, ``built()`` names those that are here, ``build`` makes what a version needs."""

    module: str
    name: str
    doc: str
    extra: str = ""
    argument: str = ""
    builder: str = ""
    versions: str = ""


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
    "llvm": Row(
        "fuzzer.targets.llvm", "Llvm", "LLVM through llvmlite", "llvm",
        versions="fuzzer.targets.llvm_versions",
    ),
    "ppci": Row(
        "fuzzer.targets.ppci", "Ppci", "ppci, a compiler in pure Python, by its intermediate code", "ppci"
    ),
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
    if row is None and (parted := _versioned(name)):
        row, version = parted
        made_of: Target = _module(name, row, row.versions).target(version)
        return made_of
    if row is None:
        kind, _, argument = name.partition(":")
        row = TARGETS.get(kind)
        if row is None or not row.argument:
            raise TargetUnavailable(f"no target {name!r}; there are {', '.join(TARGETS)}")
    if row.argument and not argument.strip():
        raise TargetUnavailable(f"it is written {name.partition(':')[0]}:{row.argument}")
    made: Target = getattr(_module(name, row, row.module), row.name)(
        *([argument] if argument else [])
    )
    return made


def family(name: str) -> str:
    """The name without the version: of targets that are versions of one compiler the same."""
    return name.partition("@")[0] if name not in TARGETS and _versioned(name) else name


def versions_here(name: str) -> list[str]:
    """Targets that are the other versions of a target, as far as they are here, the oldest first; [] if it has none."""
    row = TARGETS[name]
    if not row.versions:
        return []
    try:
        return [f"{name}@{version}" for version in import_module(row.versions).built()]
    except ImportError:
        return []


def is_known(name: str) -> bool:
    """Is a target of that name one that can be had, here or elsewhere?"""
    return family(name).partition(":")[0] in TARGETS


def _versioned(name: str) -> tuple[Row, str] | None:
    """The row and the version of ``NAME@VERSION``, if it has versions."""
    kind, at, version = name.partition("@")
    row = TARGETS.get(kind)
    return (row, version) if at and row is not None and row.versions else None


def _module(name: str, row: Row, module: str) -> ModuleType:
    try:
        return import_module(module)
    except ImportError as error:
        hint = f"pip install 'clifhanger[{row.extra}]'" if row.extra else str(error)
        raise TargetUnavailable(f"target {name} needs {error.name}: {hint}") from error
