"""LLVM's translation means what CLIF means, for every opcode and type it says it supports.

Small functions, one an opcode and types, run on boundary values against the reference, unoptimised and
optimised. A wrong translation would be blamed on LLVM.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

pytest.importorskip("llvmlite")

from backend.errors import Unsupported
from backend.ir.builder import FunctionBuilder
from backend.ir.entities import BlockCall, Function
from backend.ir.opcodes import INT_CC, OPCODES, Opcode, opcode_named, resolve, second_types
from backend.ir.parser import parse_function
from backend.ir.types import F32, F64, F128, I8, I16, I32, I64, I128, Type, type_named
from backend.ir.verifier import verify
from fuzzer.case import DATA_BASE, Case, Input
from fuzzer.execute.emulator import RETURN, emulator_for
from fuzzer.generate.cases import CaseGenerator
from fuzzer.targets import elf, llvm_floats, llvm_forms, target_named
from fuzzer.targets.llvm_ir import SUPPORTED
from fuzzer.targets.llvm_traps import TRAP_CODES, trap_code, trap_number
from fuzzer.trial import run_trial
from tests.float_rows import ROWS, Meaning, agrees, inputs_for

LLVM = target_named("llvm")
N64 = (I8, I16, I32, I64)
INTS = (*N64, I128)
#: what float_rows is about, besides what floats and integers share
FLOAT_ONLY = frozenset(llvm_floats.TEMPLATES) | {
    "f32const",
    "f64const",
    "fcmp",
    "fcvt_to_uint",
    "fcvt_to_sint",
}
LEVELS = ("none", "speed")
#: what is written otherwise than as operands and results of its own
STRUCTURES = {"jump", "brif", "br_table", "return", "trap", "nop", "stack_addr"}
#: what test_llvm_conformance is about
FORMS = frozenset(llvm_forms.METHODS) | {"global_value"}
#: what test_llvm_calls is about
CALLS = {"call", "call_indirect", "return_call", "return_call_indirect", "func_addr"}
MEMORY = sorted(
    name for name in SUPPORTED if opcode_named(name).shape in ("load", "store")
)  # fmt: skip
VALUES = sorted(SUPPORTED - STRUCTURES - CALLS - FORMS - set(MEMORY) - FLOAT_ONLY)


def boundary(type_: Type) -> list[int]:
    bits, mask = type_.bits, type_.mask
    return [
        v & mask for v in (0, 1, -1, 1 << (bits - 1), (1 << (bits - 1)) - 1, bits, bits - 1, 0x5A)
    ]


def inputs_of(types: list[Type], limit: int = 48) -> list[Input]:
    """All pairs of boundary values of the first two, what remains cycling."""
    rows = itertools.product(*(boundary(t) for t in types))
    found = list(rows)
    step = max(1, len(found) // limit)
    return found[::step] if step % 2 else found[:: step + 1]


def forms(name: str, types: tuple[Type, ...] = N64) -> Iterator[tuple[Type | None, Type | None]]:
    """Every (T, S) over ``types`` at which the table has the opcode."""
    op = opcode_named(name)
    for control in types if op.over else (None,):
        if control is not None and control not in op.over:
            continue
        if "S" not in op.operands:
            yield control, None
            continue
        seconds = second_types(op, control) if control is not None else op.second
        yield from ((control, second) for second in types if second in seconds)


def function_of(
    op: Opcode, control: Type | None, second: Type | None, keyword: str = ""
) -> Function:
    """All operands are parameters, all results are returned."""
    operands = [t for term in op.operands if (t := resolve(term, control, second)) is not None]
    results = [t for term in op.results if (t := resolve(term, control, second)) is not None]
    builder = FunctionBuilder("%f", operands, results)
    inst = builder.emit(op.name, *builder.params, type=control, keyword=keyword)
    builder.ret(*inst.results)
    return builder.finish()


def keywords(op: Opcode) -> tuple[str, ...]:
    if op.shape == "int_compare":
        return INT_CC
    return ("user3",) if op.shape in ("cond_trap", "add_trap") else ("",)


def check(function: Function, inputs: list[Input], memory: bytes = b"") -> None:
    """Both levels agree with the reference on all inputs, with all checks."""
    for level in LEVELS:
        case = Case(function, inputs, memory=memory, options=dict(LLVM.opt_levels[level]))
        trial, found = run_trial(case, LLVM, thorough=True)
        assert trial.unsupported == ""
        assert found == [], f"{level}: {found[0].check}: {found[0].detail}"
        assert trial.executed == len(inputs)


@pytest.mark.parametrize("name", [name for name in VALUES if name != "iconst"])
def test_values(name: str) -> None:
    op = opcode_named(name)
    tried = 0
    for control, second in forms(name, INTS):
        if not LLVM.supports("aarch64", op, control, second):
            continue
        for keyword in keywords(op):
            function = function_of(op, control, second, keyword)
            params = [param.type for param in function.signature.params]
            check(function, inputs_of(params))
            tried += 1
    assert tried >= 1


@pytest.mark.parametrize("type_", N64, ids=lambda t: t.name)
def test_constants(type_: Type) -> None:
    for value in boundary(type_):
        builder = FunctionBuilder("%f", [], [type_])
        builder.ret(builder.iconst(type_, value))
        check(builder.finish(), [()])


@pytest.mark.parametrize("name", MEMORY)
def test_memory(name: str) -> None:
    """In bounds, at both ends, astride an end, outside, around the address space."""
    op = opcode_named(name)
    addresses = [DATA_BASE + at for at in (0, 1, 1016, 1020, 1022, 1023, 1024, -1, -8, 0x10_0000)]
    addresses += [0, (1 << 64) - 1, (1 << 64) - 8]
    memory = bytes((i * 37 + 200) & 0xFF for i in range(1024))
    for (type_, _), offset in itertools.product(forms(name, INTS), (0, 4, -4)):
        assert type_ is not None
        suffix, sign = type_.name, f"{offset:+}" if offset else ""
        if op.shape == "load":
            text = (
                f"function %f(i64) -> {suffix} {{\nblock0(v0: i64):\n  v1 = {name}.{suffix} v0{sign}\n"
                "  return v1\n}"
            )
            inputs: list[Input] = [(address,) for address in addresses]
        else:
            text = (
                f"function %f(i64, {suffix}) {{\nblock0(v0: i64, v1: {suffix}):\n"
                f"  {name} v1, v0{sign}\n  return\n}}"
            )
            inputs = [
                (address, 0x8182838485868788_9192939495969798 & type_.mask) for address in addresses
            ]
        check(parse_function(text), inputs, memory)


CONTROL: dict[str, tuple[str, list[Input]]] = {
    "brif": ("""function %f(i8, i64) -> i64 {
block0(v0: i8, v1: i64):
  brif v0, block1(v1), block1(v2)
block1(v3: i64):
  return v3
}""".replace("brif", "v2 = iconst.i64 7\n  brif"), [(0, 1), (1, 1), (255, 1), (128, 9)]),
    "loop": ("""function %f(i32) -> i32 {
block0(v0: i32):
  v1 = iconst.i32 0
  jump block1(v0, v1)
block1(v2: i32, v3: i32):
  v4 = iadd v3, v2
  v5 = iconst.i32 1
  v6 = isub v2, v5
  brif v6, block1(v6, v4), block2
block2:
  return v4
}""", [(1,), (2,), (10,), (1000,)]),
    "swap in a loop": ("""function %f(i32, i64, i64) -> i64, i64 {
block0(v0: i32, v1: i64, v2: i64):
  jump block1(v0, v1, v2)
block1(v3: i32, v4: i64, v5: i64):
  v6 = iconst.i32 1
  v7 = isub v3, v6
  brif v7, block1(v7, v5, v4), block2
block2:
  return v4, v5
}""", [(1, 5, 6), (2, 5, 6), (3, 5, 6)]),
    "a block that nothing leads to": ("""function %f(i8) -> i8 {
block0(v0: i8):
  return v0
block1(v1: i8):
  jump block1(v1)
}""", [(3,)]),
    "trap": ("function %f(i8) -> i8 {\nblock0(v0: i8):\n  trap user250\n}", [(3,)]),
    "nop": ("function %f(i8) -> i8 {\nblock0(v0: i8):\n  nop\n  return v0\n}", [(3,)]),
    "results in pairs of registers": ("""function %f(i128, i8, i128) -> i8, i128, i8, i128 {
block0(v0: i128, v1: i8, v2: i128):
  return v1, v2, v1, v0
}""", [(1 << 64 | 2, 3, 4 << 64 | 5)]),
    "a pair around a loop": ("""function %f(i32, i128) -> i128 {
block0(v0: i32, v1: i128):
  jump block1(v0, v1)
block1(v2: i32, v3: i128):
  v4 = imul v3, v3
  v5 = iconst.i32 1
  v6 = isub v2, v5
  brif v6, block1(v6, v4), block2
block2:
  return v4
}""", [(1, 3), (7, 3 << 64 | 5)]),
    "pairs on the stack": (
        "function %f(i64, i64, i64, i64, i64, i64, i64, i128, i64, i128) -> i128, i64, i128 {\n"
        "block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i128, v8: i64, v9: i128):\n"
        "  return v7, v8, v9\n}",
        [(0, 1, 2, 3, 4, 5, 6, 7 << 64 | 8, 9, 10 << 64 | 11)],
    ),
    "eight results": ("""function %f(i8, i16) -> i8, i16, i8, i16, i8, i16, i8, i16 {
block0(v0: i8, v1: i16):
  return v0, v1, v0, v1, v0, v1, v0, v1
}""", [(1, 2), (255, 65535)]),
    "arguments on the stack": (
        "function %f(i64, i64, i64, i64, i64, i64, i64, i64, i8, i16, i64) -> i64, i16, i8 {\n"
        "block0(v0: i64, v1: i64, v2: i64, v3: i64, v4: i64, v5: i64, v6: i64, v7: i64, v8: i8, "
        "v9: i16, v10: i64):\n  return v10, v9, v8\n}",
        [tuple(range(1, 12)), (*range(8), 255, 65535, (1 << 64) - 1)],
    ),
    "stack slots": ("""function %f(i64, i8) -> i64, i8, i64 {
  ss0 = explicit_slot 24
  ss1 = explicit_slot 1
block0(v0: i64, v1: i8):
  v2 = stack_addr.i64 ss0+16
  v3 = stack_addr.i64 ss1
  store v0, v2
  store v1, v3
  v4 = load.i64 v2
  v5 = load.i8 v3
  v6 = iconst.i64 -8
  v7 = iadd v2, v6
  store v4, v7
  v8 = stack_addr.i64 ss0
  v9 = load.i64 v8+8
  return v4, v5, v9
}""", [(1, 2), ((1 << 64) - 1, 255)]),
    "shared traps keep their codes": ("""function %f(i8, i8) -> i8 {
block0(v0: i8, v1: i8):
  trapz v0, user1
  trapz v1, user2
  v2 = udiv v0, v1
  trapnz v2, heap_oob
  return v2
}""", [(0, 0), (1, 0), (0, 1), (1, 1), (1, 2)]),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTROL)
def test_control(name: str) -> None:
    text, inputs = CONTROL[name]
    function = parse_function(text)
    verify(function)
    check(function, inputs)


@pytest.mark.parametrize("entries", [0, 1, 3, 40])
def test_switches_and_the_tables_they_become(entries: int) -> None:
    """40 entries with results no arithmetic makes: LLVM puts a table of addresses or values into data."""
    builder = FunctionBuilder("%f", [I32], [I64])
    (index,) = builder.params
    blocks = [builder.block() for _ in range(entries + 1)]
    builder.emit("br_table", index, targets=tuple(BlockCall(block.id) for block in blocks))
    for number, block in enumerate(blocks):
        builder.switch_to(block)
        if number % 3 == 2:
            builder.emit("trap", keyword=f"user{number}")
            continue
        found = builder.iconst(I64, pow(3, 5 * number + 7, 1 << 61))
        builder.ret(builder.ins("bxor", found, builder.ins(
            "uextend", index, type=I64)))  # fmt: skip
    function = builder.finish()
    inputs: list[Input] = [(v & I32.mask,) for v in (*range(entries + 2), -1, 1 << 31, 255, 256)]
    check(function, inputs)
    if entries == 40:
        code = LLVM.compile(Case(function, inputs))
        assert code.data_ranges, "no table in data: this test shows nothing"
        assert code.code[code.data_ranges[0][0] : code.data_ranges[0][1]].strip(b"\0")


def test_every_supported_opcode_is_tried_here() -> None:
    texts = " ".join(text for text, _ in CONTROL.values())
    assert {name for name in STRUCTURES if name not in texts} == {"br_table"}
    rows = " ".join(text for _, text, _ in ROWS)
    assert {name for name in FLOAT_ONLY if name not in rows} == set()
    assert set(VALUES) | set(MEMORY) | STRUCTURES | FLOAT_ONLY | CALLS | FORMS == SUPPORTED


def outcomes(
    text: str, inputs: list[Input], level: str, memory: bytes = b""
) -> Iterator[tuple[str | tuple[int, ...], bytes]]:
    """A trap's code or the values, and the memory afterwards."""
    function = parse_function(text)
    verify(function)
    code = LLVM.compile(Case(function, inputs, memory=memory, options=dict(LLVM.opt_levels[level])))
    engine = emulator_for("aarch64")
    engine.load(code.code, function.signature, len(memory), code.symbols["entry"])
    for values in inputs:
        run = engine.run(values, memory)
        assert run.frame == ()
        yield (run.values if run.stop == RETURN else dict(code.traps)[run.offset]), run.memory


#: constants are a row each of the same two operations
_FEWER = [row for n, row in enumerate(ROWS) if "const_0x" not in row[0] or n % 12 == 0]


@pytest.mark.parametrize(("name", "text", "meaning"), _FEWER, ids=[name for name, *_ in _FEWER])
def test_floats(name: str, text: str, meaning: Meaning) -> None:
    returns = [param.type.name for param in parse_function(text).signature.returns]
    inputs = inputs_for(text, name)[:60]
    for level in LEVELS:
        for values, (got, _) in zip(inputs, outcomes(text, inputs, level), strict=True):
            meant = meaning(*values)
            if isinstance(got, str):
                assert meant == got
                continue
            every = meant if isinstance(meant, tuple) else (meant,)
            right = [agrees(m, g, t) for m, g, t in zip(every, got, returns, strict=True)]
            assert all(right), ([hex(v) for v in values], every, [hex(g) for g in got])


@pytest.mark.parametrize("type_", ["f32", "f64"])
def test_floats_in_memory(type_: str) -> None:
    size = int(type_[1:]) // 8
    memory = bytes((i * 37 + 200) & 0xFF for i in range(1024))
    text = (f"function %f(i64, {type_}) -> {type_} {{\nblock0(v0: i64, v1: {type_}):\n"
            f"  v2 = load.{type_} v0+4\n  store v1, v0+4\n  return v2\n}}")  # fmt: skip
    inside, outside = DATA_BASE + 1024 - size - 4, DATA_BASE + 1024 - size - 3
    for level in LEVELS:
        (got, after), (trap, _) = outcomes(
            text, [(inside, 0x7F800001), (outside, 1)], level, memory
        )
        assert got == (int.from_bytes(memory[-size:], "little"),)
        assert after == memory[:-size] + (0x7F800001).to_bytes(size, "little")
        assert trap == "heap_oob"


def test_supports_is_what_compiles() -> None:
    types = (*INTS, F32, F64, F128, type_named("i32x4"))
    agreed = {True: 0, False: 0}
    for op in OPCODES:
        if (
            op.shape not in ("values", "int_compare", "cond_trap", "add_trap")
            or "..." in op.operands
        ):
            continue
        for control, second in forms(op.name, types):
            try:
                function = function_of(op, control, second, keywords(op)[0])
            except ValueError:
                continue  # no such form of the opcode
            params = [param.type for param in function.signature.params]
            case = Case(function, [tuple(0 for _ in params)])
            try:
                LLVM.compile(case)
                compiles = True
            except Unsupported:
                compiles = False
            assert LLVM.supports("aarch64", op, control, second) == compiles, (
                op.name,
                control,
                second,
            )
            agreed[compiles] += 1
    assert agreed[True] > 150
    assert agreed[False] > 100


def test_trap_codes_have_a_byte_each() -> None:
    codes = [*TRAP_CODES, *(f"user{n}" for n in range(1, 251))]
    numbers = [trap_number(code) for code in codes]
    assert len(set(numbers)) == len(codes)
    assert set(numbers) <= set(range(256))
    assert [trap_code(number) for number in numbers] == codes


@pytest.mark.parametrize("level", LEVELS)
def test_trap_codes_come_back_from_the_code(level: str) -> None:
    for code in (*TRAP_CODES, "user1", "user128", "user250"):
        text = f"function %f(i8) {{\nblock0(v0: i8):\n  trapz v0, {code}\n  return\n}}"
        case = Case(parse_function(text), [(0,)], options=dict(LLVM.opt_levels[level]))
        assert [name for _, name in LLVM.compile(case).traps] == [code]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("function %f(f128) {\nblock0(v0: f128):\n  return\n}", "type f128"),
        ("function %f(i64 vmctx) -> i32 {\n  gv0 = vmctx\nblock0(v0: i64):\n  v1 = global_value.i32 gv0\n"
         "  return v1\n}", "no i64"),
        ("function %f() -> i64 {\n  gv0 = symbol %x\nblock0:\n  v0 = global_value.i64 gv0\n  return v0\n}", "symbol"),
    ],
)  # fmt: skip
def test_what_it_does_not_take_is_said(text: str, why: str) -> None:
    function = parse_function(text)
    with pytest.raises(Unsupported, match=why):
        LLVM.compile(Case(function, [tuple(0 for _ in function.signature.params)]))


@pytest.mark.parametrize("stage", ["clif", "llvm", "optimised", "asm", "bytes"])
def test_stages_print(stage: str) -> None:
    text = "function %f(i32) -> i32 {\nblock0(v0: i32):\n  v1 = iadd v0, v0\n  return v1\n}"
    code = LLVM.compile(Case(parse_function(text), [(0,)]))
    shown = code.stages[stage]()
    words = {"clif": "iadd", "llvm": "add i32", "optimised": "ret i32", "asm": "ret",
             "bytes": "c0035fd6"}  # fmt: skip
    assert words[stage] in shown


@pytest.mark.parametrize("isa", ["aarch64", "x86_64", "riscv64"])
@pytest.mark.parametrize("line", [
    "fmax v0, v0", "fmin v0, v0", "fmul v0, v1", "fdiv v0, v1",
    "fma v0, v1, v3", "fdemote.f32 v4",
])  # fmt: skip
def test_a_nan_that_llvm_hands_on_is_quiet(isa: str, line: str) -> None:
    text = "function %f(f32) -> f32 {\nblock0(v0: f32):\n  v1 = f32const 0x1.0p0\n"
    text += f"  v3 = f32const -0.0\n  v4 = fpromote.f64 v0\n  v2 = {line}\n  return v2\n}}"
    case = Case(parse_function(text), [(0x7F80_0001,), (0xFF80_0001,), (0x4000_0000,)], isa=isa)
    assert run_trial(case, LLVM, thorough=True)[1] == []


@pytest.mark.parametrize("isa", ["aarch64", "x86_64", "riscv64", "arm", "mips64"])
def test_a_canonical_nan_in_place_of_a_square_root_stays(isa: str) -> None:
    text = """function %f(f64) -> f64 {
block0(v0: f64):
    v1 = sqrt v0
    v2 = fcmp ne v1, v1
    v3 = f64const +NaN
    v4 = select v2, v3, v1
    return v4
}"""
    inputs = [(0x7FF0_0000_0000_0001,), (0xFFF8_0000_0000_0002,), (0xBFF0_0000_0000_0000,)]
    case = Case(parse_function(text), list(inputs), isa=isa)
    assert run_trial(case, LLVM, thorough=True)[1] == []


def test_x86_64_agrees_with_the_reference() -> None:
    """The executor's x86-64 and its reading of UD1, by a compiler that shares nothing with ours."""
    generator = CaseGenerator(LLVM, "x86_64")
    trapped = tables = tried = left_out = 0
    for seed in range(60):
        case = generator.from_seed(seed)
        trial, found = run_trial(case, LLVM, thorough=True)
        assert not found, [v.detail for v in found]
        left_out += bool(trial.unsupported)
        reasons = ("pops them", "known fault", "a third float among results")
        assert not trial.unsupported or any(each in trial.unsupported for each in reasons)
        tried += trial.executed
        trapped += sum(run is not None and run.stop == "trap" for run in trial.runs)
        tables += bool(trial.code is not None and trial.code.data_ranges)
    assert tried > 300
    assert left_out < 4
    assert trapped
    assert tables


@pytest.mark.parametrize(
    ("kind", "wanted"), [(2, "0c000000"), (4, "0c000000"), (24, "0c00000000000000")]
)
def test_relocations_of_x86_64(kind: int, wanted: str) -> None:
    image = bytearray(16)
    elf._apply_x86_64(image, kind, 4, 16)
    assert image[4 : 4 + len(wanted) // 2].hex() == wanted


def test_an_absolute_relocation_of_x86_64_is_not_supported() -> None:
    with pytest.raises(Unsupported, match="11"):
        elf._apply_x86_64(bytearray(16), 11, 0, 0)
