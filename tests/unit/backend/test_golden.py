"""The printed stages of a few functions, against files. ``pytest --update-golden`` rewrites them."""

from __future__ import annotations

from pathlib import Path

import pytest

from backend.compile import compile_function
from backend.ir.parser import parse_function
from backend.isa import ISA_NAMES
from backend.options import Options, Value

FOLDER = Path(__file__).parent / "golden"
OPTIONS: dict[str, dict[str, Value]] = {
    "pressure": {"registers": 3},
    "veneers": {"branch_reach": 64},
}


@pytest.mark.parametrize("isa", ISA_NAMES)
@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.clif")), ids=lambda path: path.stem)
def test_the_stages_are_as_printed(path: Path, isa: str, update_golden: bool) -> None:
    options = Options.from_dict(OPTIONS.get(path.stem, {}))
    code = compile_function(parse_function(path.read_text()), isa, options)
    stages = "\n".join(
        f"== {name}\n{code.stages[name]()}" for name in ("vcode", "alloc", "asm", "bytes")
    )
    # The first ISA's have no name of it.
    golden = path.with_suffix(".txt" if isa == ISA_NAMES[0] else f".{isa}.txt")
    if update_golden:
        golden.write_text(stages)
    assert stages == golden.read_text()
