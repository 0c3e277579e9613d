"""The target c: the translation means what CLIF means, whichever compiler there is."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("elftools", reason="pip install 'clifhanger[c]'")

from backend.errors import Unsupported
from backend.ir.filetest import parse_file
from backend.ir.opcodes import OPCODES, Opcode
from backend.ir.types import F32, F64, I32, I64, I128, Type
from fuzzer.cli import cli
from fuzzer.targets import c, target_named
from fuzzer.targets.c import COMPILERS, C
from fuzzer.targets.c_calls import fits_results
from fuzzer.targets.c_faults import known_fault
from fuzzer.targets.c_ir import Module
from fuzzer.targets.target import CompileError, TargetHung, TargetUnavailable
from fuzzer.trial import run_trial
from tests.unit.fuzzer.targets.holding import case_of, drawn_cases_hold, lines_hold

PAIRS = [(name, isa) for name, compiler in COMPILERS.items() for isa in compiler.commands]
#: a run of a compiler takes 50 ms or more: the files with the most opcodes for their size
FILES = ("recursion", "globals", "calls")
needed = pytest.mark.skipif(not COMPILERS, reason="no gcc, clang, tcc or zig")


# ---- what needs no compiler


def test_a_machine_without_compilers_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(c, "COMPILERS", {})
    with pytest.raises(TargetUnavailable):
        target_named("c")
    result = CliRunner().invoke(cli, ["fuzz", "--target", "c", "-n", "1"])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "none of gcc, clang, tcc and zig" in result.stderr


@pytest.mark.parametrize(
    ("isa", "types", "fits"),
    [
        ("x86_64", (I64, F64), True),
        ("x86_64", (F32, F32), True),
        ("x86_64", (I64, F64, F64), False),
        ("x86_64", (I128,), True),
        ("x86_64", (I64, I64, I32), True),  # the last one goes to the area
        ("aarch64", (I64, I64), True),
        ("aarch64", (I64, F64), False),
        ("aarch64", (F32, F64, F32, F32), True),
        ("aarch64", (I64, I64, I64), False),
    ],
)
def test_results_that_c_returns_where_clif_wants_them(
    isa: str, types: tuple[Type, ...], fits: bool
) -> None:
    assert fits_results(isa, types) is fits


def test_arithmetic_is_unsigned() -> None:
    """The product of two u16 would be a signed int, and overflow it."""
    text = "function %f(i16, i16) -> i16 {\nblock0(v0: i16, v1: i16):\n    v2 = imul v0, v1\n    return v2\n}\n"
    made = Module([parse_file(text).functions[0].function], "x86_64", 0).translate()
    assert "v2 = (u16)((u32)v0 * (u32)v1);" in made


def test_a_convention_that_is_not_cs_is_unsupported() -> None:
    text = "function %f() tail {\nblock0:\n    return\n}\n"
    with pytest.raises(Unsupported, match="calling convention tail"):
        Module([parse_file(text).functions[0].function], "x86_64", 0).translate()


# ---- with the compilers that there are

TRAPS = """function %f(i64, i32) -> i32 {
block0(v0: i64, v1: i32):
    br_table v1, block4, [block1, block2, block3]
block1:
    trapz v0, user250
    v2 = iconst.i32 1
    return v2
block2:
    v3 = load.i32 v0
    return v3
block3:
    v4 = iconst.i32 77
    store v4, v0
    v5 = iconst.i32 0
    v6 = udiv v4, v5
    store v6, v0
    return v6
block4:
    trap stk_ovf
}
"""


@pytest.mark.parametrize(("compiler", "isa"), PAIRS)
@pytest.mark.parametrize("level", [0, 2])
def test_traps_have_their_codes_and_come_in_time(compiler: str, isa: str, level: int) -> None:
    """Memory at a trap is compared: the store before it is done, the one behind it is not."""
    base = 0x2000_0000
    inputs = [
        (0, 0),
        (1, 0),
        (base - 1, 1),
        (base + 0xFFC, 1),
        (base + 0xFFD, 1),
        (base, 2),
        (0, 3),
    ]
    case = case_of(TRAPS, isa, *inputs, compiler=compiler, opt_level=level)
    trial, found = run_trial(case, C())
    assert found == []
    assert trial.executed == len(inputs)


@pytest.mark.parametrize(("compiler", "isa"), PAIRS)
@pytest.mark.parametrize("name", FILES)
def test_every_line_holds(
    name: str, compiler: str, isa: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(c._OF, isa, (compiler,))
    assert lines_hold(name, "c", isa, "none").passed > 0


def _forms(target: C, isa: str) -> list[tuple[Opcode, Type]]:
    return [(op, t) for op in OPCODES for t in op.over if target.supports(isa, op, t, None)]


@needed
def test_drawn_cases_hold() -> None:
    target = C()
    for isa in target.isas:
        assert len(_forms(target, isa)) > 150
        assert drawn_cases_hold(target, isa, 12) > 40


@needed
def test_a_compiler_that_fails_is_a_finding(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An error is reported without where the file was, and one that does not end is a hang."""
    wrong, slow = tmp_path / "wrong", tmp_path / "slow"
    wrong.write_text(
        '#!/bin/sh\nfor last; do :; done\necho "$last:7: internal compiler error: 3" >&2\nexit 4\n'
    )
    slow.write_text("#!/bin/sh\nexec sleep 20\n")
    isa = C.isas[0]
    case = case_of("function %f() {\nblock0:\n    return\n}\n", isa, (), compiler="x")
    for program in (wrong, slow):
        program.chmod(0o755)
        monkeypatch.setitem(COMPILERS, "x", c.Compiler({isa: (str(program),)}, ()))
        target = C()
        target.limit(seconds=1)
        with pytest.raises(CompileError if program is wrong else TargetHung) as caught:
            target.compile(case)
        if program is wrong:
            assert str(caught.value) == "exit 4: /case.c:7: internal compiler error: 3"


@needed
def test_a_compiler_that_is_not_here_is_unsupported() -> None:
    case = case_of("function %f() {\nblock0:\n    return\n}\n", C.isas[0], (), compiler="icc")
    with pytest.raises(Unsupported, match="no compiler icc"):
        C().compile(case)


MIXED = "function %f(f64) -> f64, i64 {\nblock0(v0: f64):\n    v1 = iconst.i64 7\n    return v0, v1\n}\n"
PAIR = """function %f(i64, i64, i64, i64, i64, i128) -> i128 {
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i128):
    return v5
}
"""


@pytest.mark.parametrize(
    ("compiler", "text", "inputs"),
    [("tcc", MIXED, (0x3FF0 << 48,)), ("clang", PAIR, (1, 2, 3, 4, 5, 6 << 64 | 7))],
)
def test_a_known_fault_is_still_there(compiler: str, text: str, inputs: tuple[int, ...]) -> None:
    """It is left out of campaigns; a compiler that has it no more turns this red, and the row goes."""
    if compiler not in COMPILERS or "x86_64" not in COMPILERS[compiler].commands:
        pytest.skip(f"no {compiler}")
    case, target = case_of(text, "x86_64", inputs, compiler=compiler), C()
    module = Module(case.functions, "x86_64", 0)
    module.translate()
    if not known_fault(compiler, target._version(compiler), module):
        pytest.skip(f"{compiler} is a newer one")
    with pytest.raises(Unsupported, match=f"known fault of {compiler}"):
        target.compile(case)
    target.excludes = False
    _, found = run_trial(case, target)
    assert found


def test_what_c_has_no_type_for_is_unsupported() -> None:
    text = "function %f(i128, i128) -> i128 {\nblock0(v0: i128, v1: i128):\n    v2 = umulhi v0, v1\n    return v2\n}\n"
    with pytest.raises(Unsupported, match="opcode umulhi at i128"):
        Module([parse_file(text).functions[0].function], "x86_64", 0).translate()
