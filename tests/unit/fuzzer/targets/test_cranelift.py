"""The target cranelift: what of it needs no server, and where there is one, that it does what the target says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from backend.errors import Unsupported
from backend.ir.entities import AbiParam, Signature
from backend.ir.opcodes import OPCODES, Opcode, resolve, second_types
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from backend.machine.compiled import Reloc
from fuzzer.cli import cli
from fuzzer.execute.decode import decode
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import passing
from fuzzer.execute.relocate import ExecutorLimit, relocate
from fuzzer.generate.cases import CaseGenerator
from fuzzer.generate.operations import FAMILIES, STRUCTURES
from fuzzer.loading import as_called
from fuzzer.targets import TargetUnavailable, target_named
from fuzzer.targets.cranelift import VARIABLE, Cranelift, trapping_from
from fuzzer.targets.cranelift_build import build
from fuzzer.targets.cranelift_faults import FORM_FAULTS, KEPT_BADLY, known_fault
from fuzzer.targets.target import CompileError, TargetDied
from fuzzer.trial import run_trial
from tests.unit.fuzzer.targets.holding import case_of

ISAS = Cranelift.isas
SCALARS = (I8, I16, I32, I64, I128, F32, F64)


@pytest.fixture(scope="module")
def cranelift() -> Iterator[Cranelift]:
    try:
        target = target_named("cranelift")
    except TargetUnavailable as error:
        pytest.skip(str(error))
    assert isinstance(target, Cranelift)
    yield target
    target.server.stop()


# ---- without a server


def test_a_target_that_is_not_built_is_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    result = CliRunner().invoke(cli, ["fuzz", "--target", "cranelift", "-n", "1"])
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "clifhanger doctor --build cranelift" in result.stderr


def test_doctor_builds_only_what_there_is_to_build() -> None:
    result = CliRunner().invoke(cli, ["doctor", "--build", "builtin"])
    assert result.exit_code == 2
    assert (
        result.stderr
        == "clifhanger: --build: 'builtin' is nothing to build; there is cranelift, llvm@VERSION, runtime\n"
    )


def test_a_build_without_sources_says_so(tmp_path: Path) -> None:
    with pytest.raises(TargetUnavailable, match="no sources of the server"):
        build(lambda line: None, tmp_path)


def test_a_build_without_cargo_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "Cargo.toml").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetUnavailable, match="cargo is not on the PATH"):
        build(lambda line: None, tmp_path)


def _cargo(folder: Path, script: str) -> None:
    (folder / "Cargo.toml").touch()
    (folder / "cargo").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "cargo").chmod(0o755)


def test_a_build_that_fails_says_what_cargo_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    _cargo(
        tmp_path, "echo one >&2; echo 'error: no such thing' >&2; echo 'error: two' >&2; exit 101"
    )
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    said: list[str] = []
    with pytest.raises(
        TargetUnavailable, match=r"^cargo ended with status 101: error: no such thing$"
    ):
        build(said.append, tmp_path)
    assert said == ["one", "error: no such thing", "error: two"]


def test_a_build_is_of_the_locked_versions(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    _cargo(tmp_path, 'echo "$@" >&2')
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    said: list[str] = []
    assert build(said.append, tmp_path) == tmp_path / "target" / "release" / "cranelift-server"
    assert {"--release", "--locked"} < set(said[0].split())


def _called(
    isa: str, callconv: str, *types: Type, returns: tuple[Type, ...] = ()
) -> tuple[list[int], int]:
    """The register of each piece of the arguments, as Cranelift calls, and the bytes of the others."""
    params = tuple(AbiParam(type_, "sext" if type_ is I8 else "") for type_ in types)
    signature = Signature(params, tuple(AbiParam(type_) for type_ in returns), callconv)
    placed = passing(as_called(isa, "cranelift", signature), MACHINES[isa])
    return [piece.register for piece in placed.args], placed.stack


def test_aarch64_extends_only_for_apple() -> None:
    signature = Signature((AbiParam(I8, "sext"),), (AbiParam(I16, "uext"),), "")
    apple = Signature(signature.params, signature.returns, "apple_aarch64")
    assert [p.extension for p in as_called("aarch64", "cranelift", signature).params] == [""]
    assert [p.extension for p in as_called("aarch64", "cranelift", signature).returns] == [""]
    assert as_called("aarch64", "cranelift", apple) is apple
    assert as_called("x86_64", "cranelift", signature).params == signature.params


def test_tail_of_aarch64_has_six_registers_and_goes_on_behind_an_i128() -> None:
    registers, stack = _called("aarch64", "tail", I32, I128, I64, I128, I64)
    assert (registers, stack) == ([0, 2, 3, 4, -1, -1, 5], 16)
    assert _called("aarch64", "", I32, I128, I64, I128, I64) == ([0, 2, 3, 4, 6, 7, -1], 8)


def test_tail_of_x86_64_splits_an_i128() -> None:
    five = (I64,) * 5
    assert _called("x86_64", "tail", *five, I128, I64) == ([0, 1, 2, 3, 4, 5, -1, -1], 16)
    assert _called("x86_64", "", *five, I128, I64) == ([0, 1, 2, 3, 4, -1, -1, 5], 16)


def test_addresses_of_pages_and_in_pages() -> None:
    code = bytes.fromhex("0000009000000091000040f9")  # adrp x0, add x0, x0, #0; ldr x0, [x0]
    relocs = [
        Reloc(0, "adr_page21", "a", 0),
        Reloc(4, "add_lo12", "a", 0),
        Reloc(8, "ld64_lo12", "b", 8),
    ]
    places = {"a": 0x0FFF_8123, "b": 0x1000_5FF0}
    made = relocate(code, relocs, 0x1000_0000, places.__getitem__)
    texts = [text for _, text in decode("aarch64", made)]
    assert texts[1:] == ["add x0, x0, #0x123", "ldr x0, [x0, #0xff8]"]
    assert int.from_bytes(made[:4], "little") == 0x90FF_FFC0  # adrp x0, 8 pages back
    with pytest.raises(ExecutorLimit, match="a load of 8 bytes"):
        relocate(code, [Reloc(8, "ld64_lo12", "a", 0)], 0, places.__getitem__)
    with pytest.raises(ExecutorLimit, match="pages"):
        relocate(code, [Reloc(0, "adr_page21", "a", 1 << 33)], 0, places.__getitem__)


@pytest.mark.parametrize(
    ("isa", "signature", "hit"),
    [
        ("aarch64", "i64, i64, i64, i64, i64, i64, i64, i128, i64", True),
        ("aarch64", "i64, i64, i64, i64, i64, i64, i64, i128, f64", False),
        ("aarch64", "i64, i64, i64, i64, i64, i64, i64, i64, i128, i64", False),
        ("aarch64", "i64, i128, i128, i128, i64", False),
        ("riscv64", "i64, i64, i64, i64, i64, i64, i64, i64, i64, i128", True),
        ("riscv64", "i64, i64, i64, i64, i64, i64, i64, i64, i64, i64, i128", False),
        ("riscv64", "i64, i64, i64, i64, i64, i64, i64, i128, i128", True),
        ("riscv64", "f64, f64, f64, f64, f64, f64, f64, f64, f32", True),
        ("riscv64", "f64, f64, f64, f64, f64, f64, f64, f64, i64", False),
        ("x86_64", "i64, i64, i64, i64, i64, i128, i8", True),
        ("x86_64", "i64, i64, i64, i64, i128, i128, i8", False),
        ("x86_64", "i64, i64, i64, i64, i64, i128, i128", False),
    ],
)  # fmt: skip
def test_passing_that_is_known_to_be_wrong(isa: str, signature: str, hit: bool) -> None:
    entered = f"function %f({signature}) {{\nblock0({_named(signature)}):\n    return\n}}\n"
    assert bool(known_fault(case_of(entered, isa))) == hit
    calls = f"function %f() {{\n    fn0 = %g({signature})\nblock0:\n    return\n}}\n"
    assert bool(known_fault(case_of(calls, isa))) == hit
    own = calls + entered.replace("%f", "%g")
    assert not known_fault(case_of(own, isa))


@pytest.mark.parametrize(("code", "at", "begins"), [
    ("0000", 1, 0), ("07070000", 3, 2), ("a7290000b91d0042", 7, 4), ("ec30ffff6072", 5, 0),
    ("c04400000002", 3, 2), ("e32010000004", 0, 0),
])  # fmt: skip
def test_a_trap_of_s390x_is_where_its_instruction_begins(code: str, at: int, begins: int) -> None:
    assert trapping_from(bytes.fromhex(code), at) == begins


@pytest.mark.parametrize(("offset", "type_", "hit"), [
    (0x7FFF_FFF7, "i128", False), (0x7FFF_FFF8, "i128", True), (0x7FFF_FFF8, "i64", False),
])  # fmt: skip
def test_an_access_that_reaches_too_far(offset: int, type_: str, hit: bool) -> None:
    for body in (
        f"v1 = load.{type_} v0+{offset}",
        f"v1 = iconst.i64 0\n    v2 = load.{type_} v0\n    store v2, v0+{offset}",
    ):
        text = f"function %f(i64) {{\nblock0(v0: i64):\n    {body}\n    return\n}}\n"
        assert bool(known_fault(case_of(text, "riscv64"))) == hit
        assert not known_fault(case_of(text, "aarch64"))


def test_fs1_is_kept_but_in_a_campaign() -> None:
    """A replay holds Cranelift to the standard."""
    strict, lenient = (
        MACHINES["riscv64"].conventions[f"{name}:system_v"]
        for name in ("cranelift", "cranelift_fs1")
    )
    assert {s.name for s in strict.saved} - {s.name for s in lenient.saved} == {"fs1"}
    assert KEPT_BADLY == {"riscv64": "cranelift_fs1"}


def test_the_halves_of_a_distance_belong_together() -> None:
    code = bytes.fromhex("9705000083b50500")  # auipc a1, 0; ld a1, 0(a1)
    relocs = [Reloc(0, "pcrel_hi20", "a", 0), Reloc(4, "pcrel_lo12_i", "f", 0)]
    places = {"a": 0x1000_0000 + 0x1_2FF8, "f": 0x1000_0000}
    made = relocate(code, relocs, 0x1000_0000, places.__getitem__)
    assert [int.from_bytes(made[n : n + 4], "little") for n in (0, 4)] == [0x0001_3597, 0xFF85_B583]
    with pytest.raises(ExecutorLimit, match="without the upper one"):
        relocate(code, relocs[1:], 0x1000_0000, places.__getitem__)


def _named(signature: str) -> str:
    return ", ".join(f"v{n}: {type_}" for n, type_ in enumerate(signature.split(", ")))


# ---- with a server


def _forms() -> Iterator[tuple[Opcode, Type | None, Type | None, str]]:
    """Every form of what is drawn that takes and gives values alone, with a function of it."""
    drawn = {name for weights in FAMILIES.values() for name in weights} - STRUCTURES
    plain = [op for op in OPCODES if op.name in drawn and op.shape in _SHAPES and op.results]
    for op in plain:
        for type_ in (t for t in SCALARS if not op.over or t in op.over):
            for second in second_types(op, type_) if _has_second(op) else (None,):
                if second is not None and second not in SCALARS:
                    continue
                ins, outs = (
                    [resolve(term, type_, second) for term in terms]
                    for terms in (op.operands, op.results)
                )
                given = ", ".join(f"v{n}: {t}" for n, t in enumerate(ins))
                made = ", ".join(f"v{n + 10}" for n in range(len(outs)))
                keyword = {"icmp": " slt", "fcmp": " lt"}.get(op.name, "")
                form = f"{op.name}.{type_}{keyword} {', '.join(f'v{n}' for n in range(len(ins)))}"
                lines, types, values = _in_halves(outs)
                yield (
                    op,
                    type_,
                    second,
                    (
                        f"function %f({', '.join(map(str, ins))}) -> {types} tail {{\n"
                        f"block0({given}):\n    {made} = {form}\n{lines}    return {values}\n}}\n"
                    ),
                )


def _in_halves(types: list[Type]) -> tuple[str, str, str]:
    """Lines, types and values of results v10 and so on, of which an i128 is returned as two: s390x returns none."""
    lines, returned, values = "", [], []
    for n, type_ in enumerate(types):
        if type_ is I128:
            lines += f"    v{n + 20}, v{n + 30} = isplit.i128 v{n + 10}\n"
        wide = type_ is I128
        returned += ["i64", "i64"] if wide else [str(type_)]
        values += [f"v{n + 20}", f"v{n + 30}"] if wide else [f"v{n + 10}"]
    return lines, ", ".join(returned), ", ".join(values)


_SHAPES = ("values", "int_compare", "float_compare", "flagged_unary")


def _has_second(op: Opcode) -> bool:
    return "S" in (*op.operands, *op.results)


@pytest.mark.parametrize("isa", ISAS)
def test_it_supports_what_it_compiles(cranelift: Cranelift, isa: str) -> None:
    wrong = []
    count = 0
    faulty = {(name, type_) for fault in FORM_FAULTS if fault.isa == isa
              for name in fault.names for type_ in fault.types}  # fmt: skip
    for op, type_, second, text in _forms():
        count += 1
        if (op.name, type_) in faulty:
            continue
        try:
            cranelift.compile(case_of(text, isa))
            compiled = True
        except Unsupported:
            compiled = False
        if compiled != cranelift.supports(isa, op, type_, second):
            wrong.append(f"{op.name}.{type_} of {second}: compiled is {compiled}")
    assert not wrong
    assert count > 200


@pytest.mark.parametrize("fault", FORM_FAULTS, ids=lambda f: f"{f.isa}-{f.thread or min(f.names)}")
def test_a_form_that_is_not_drawn_for_its_fault_has_it_still(
    cranelift: Cranelift, fault: object
) -> None:
    assert fault in FORM_FAULTS
    row = FORM_FAULTS[FORM_FAULTS.index(fault)]
    for op, type_, second, text in _forms():
        if op.name in row.names and type_ in row.types:
            assert not cranelift.supports(row.isa, op, type_, second)
            with pytest.raises(TargetDied, match="panicked at "):
                cranelift.compile(case_of(text, row.isa))


@pytest.mark.parametrize("isa", ISAS)
def test_every_value_of_every_option_is_known(cranelift: Cranelift, isa: str) -> None:
    text = "function %f(i64) -> i64 {\nblock0(v0: i64):\n    v1 = iadd v0, v0\n    return v1\n}\n"
    for option in cranelift.options_of(isa):
        for value in option.values:
            case = case_of(text, isa, (21,))
            case.options = {option.name: value}
            _, found = run_trial(case, cranelift, thorough=True)
            assert not found, (option.name, value)
    with pytest.raises(CompileError, match="has_warp"):
        cranelift.compile(case_of(text, isa, has_warp="true"))


CALLS = """
function %f(i64) -> i64 {
    fn0 = %h(i64) -> i64
    fn1 = colocated %g(i64) -> i64
block0(v0: i64):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    v3 = func_addr.i64 fn0
    v4 = call_indirect sig0, v3(v2)
    return v4
}
function %g(i64) -> i64 {
block0(v0: i64):
    v1 = ineg v0
    return v1
}
"""


@pytest.mark.parametrize("is_pic", [False, True])
@pytest.mark.parametrize("isa", ISAS)
def test_calls_reach_whom_they_name(cranelift: Cranelift, isa: str, is_pic: bool) -> None:
    text = CALLS.replace("fn0 = %h", "sig0 = (i64) -> i64\n    fn0 = %h", 1)
    case = case_of(text, isa, (5,))
    case.options = {"is_pic": is_pic}
    trial, found = run_trial(case, cranelift, thorough=True)
    assert not trial.unsupported
    assert not found
    assert [name for name, _ in trial.runs[0].calls] == ["%h", "%h"]  # type: ignore[union-attr]  # it ran


@pytest.mark.parametrize("isa", ISAS)
def test_a_hundred_cases_run_as_the_reference_says(cranelift: Cranelift, isa: str) -> None:
    generator = CaseGenerator(cranelift, isa)
    executed = 0
    for seed in range(100):
        trial, found = run_trial(generator.from_seed(seed), cranelift)
        # what the emulator is known to get wrong needs a second one
        assert all(violation.suspect for violation in found), (seed, found)
        executed += trial.executed
        assert not re.search("relocation|lowering", trial.unsupported), (seed, trial.unsupported)
    assert executed > 800


def test_what_nobody_wrote_and_cannot_be_lowered_is_a_failure(cranelift: Cranelift) -> None:
    text = """
function %f(i128, i128) -> i128 {
block0(v0: i128, v1: i128):
    v2 = icmp ult v0, v1
    v3 = select v2, v0, v1
    return v3
}
"""
    case = case_of(text, "x86_64", opt_level="speed")
    with pytest.raises(Unsupported, match="known fault of Cranelift"):
        cranelift.compile(case)
    cranelift.excludes = False
    try:
        with pytest.raises(
            CompileError, match=r"no lowering of umin\.i128, which the optimiser made"
        ):
            cranelift.compile(case)
    finally:
        cranelift.excludes = True


def test_a_function_without_a_convention_is_of_the_platforms(cranelift: Cranelift) -> None:
    text = """
function %f(i64, i64, i64, i64, i64, i128) -> i128 {
block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i128):
    return v5
}
"""
    case = case_of(text, "x86_64", (0, 0, 0, 0, 0, 1 << 64 | 2))
    _, found = run_trial(case, cranelift)
    assert not found


def test_a_replay_leaves_out_entries_without_their_target(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nothing"))
    crashes = Path(__file__).resolve().parents[4] / "corpus" / "crash"
    theirs = [*map(str, crashes.glob("*-cranelift-[!p]*"))]
    mended = [*map(str, crashes.glob("*builtin*")), *theirs]
    result = CliRunner().invoke(cli, ["replay", *mended])
    assert result.exit_code == 0
    assert re.search(
        r"[1-9] replayed, 0 failing, 0 unreadable, [1-9][0-9]* without their target", result.stdout
    )
    only = CliRunner().invoke(cli, ["replay", *theirs])
    assert only.exit_code == 2


@pytest.mark.parametrize(
    ("params", "hit"),
    [
        ("i64, i64, i64, i64, i64, i64, i64, i64, i64, i32, i32 uext", True),
        ("i64, i64, i64, i64, i64, i64, i64, i64, i64, i32, i32", False),
        ("i64, i64, i64, i64, i64, i64, i64, i64, i64, i32 uext, i32", False),
        ("i64, i64, i64, i64, i64, i64, i64, i8 sext", False),
    ],
)
def test_arguments_that_are_known_to_overrun(params: str, hit: bool) -> None:
    called = f"function %f() {{\n    fn0 = %g({params}) apple_aarch64\nblock0:\n    return\n}}\n"
    assert bool(known_fault(case_of(called, "aarch64"))) == hit
    assert not known_fault(case_of(called.replace(" apple_aarch64", ""), "aarch64"))
