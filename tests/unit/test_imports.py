"""Who may import whom: the architecture, enforced.

``fuzzer -> backend -> backend.ir``; the reference knows ``backend.ir`` and nothing else of the backend; the
executor knows no convention of the backend's; the allocation checker shares no code with the allocator.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def modules(folder: str) -> Iterator[tuple[str, Path]]:
    for path in sorted((ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path) -> set[str]:
    """Absolute names of the modules a file imports, those of its functions too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names


def ours(path: Path) -> set[str]:
    return {name for name in imported(path) if name.split(".")[0] in ("backend", "fuzzer", "tests")}


ALL = [*modules("backend"), *modules("fuzzer")]


@pytest.mark.parametrize(("module", "path"), ALL, ids=[name for name, _ in ALL])
def test_only_allowed_imports(module: str, path: Path) -> None:
    names = ours(path)
    assert not any(name.startswith("tests") for name in names)
    if module.startswith("backend"):
        assert not any(name.startswith("fuzzer") for name in names), "the backend knows no fuzzer"
    if module.startswith("backend.ir"):
        assert all(name.startswith(("backend.ir", "backend.errors")) for name in names)
    if module.startswith("fuzzer.reference"):
        backend = {name for name in names if name.startswith("backend")}
        assert all(name.startswith(("backend.ir", "backend.errors")) for name in backend)
        allowed = ("backend", "fuzzer.reference", "fuzzer.outcome", "fuzzer.case")
        assert all(name.startswith(allowed) for name in names)
    if module.startswith("fuzzer.execute"):
        backend = {name for name in names if name.startswith("backend")}
        assert all(name.startswith("backend.ir") for name in backend), "its own ABI tables"
    if module == "backend.regalloc.checker":
        shared = {n for n in names if n.startswith("backend.regalloc") and "checker" not in n}
        assert not shared, "the checker shares no code with the allocator"
    if module.startswith(("fuzzer.generate", "fuzzer.reduce")):
        assert not any(name.startswith("backend.isa") for name in names), "no ISA in the generator"


STDLIB_ONLY = [(name, path) for name, path in ALL if name.startswith("backend")]


@pytest.mark.parametrize(("module", "path"), STDLIB_ONLY, ids=[name for name, _ in STDLIB_ONLY])
def test_backend_needs_only_the_standard_library(module: str, path: Path) -> None:
    import sys

    roots = {name.split(".")[0] for name in imported(path)}
    assert roots <= set(sys.stdlib_module_names) | {"backend", "__future__"}
