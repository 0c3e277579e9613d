"""Machines whose functions get the addresses of their arguments and of their results: arm and mips64."""

from __future__ import annotations

import struct

import pytest

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, F64, I8, I16, I32, I64, I128, Type
from backend.machine.compiled import Reloc
from fuzzer.case import byte_order_of
from fuzzer.execute import layout
from fuzzer.execute.decode import decode
from fuzzer.execute.emulator import FAULT, RETURN, STRAY, TIMEOUT, TRAP, Emulator, Run
from fuzzer.execute.library import LIBRARY, library_of
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.passing import passing
from fuzzer.execute.relocate import ExecutorLimit, Linkage, relocate

ISAS = ("arm", "mips64")
RET = {"arm": 0xE12FFF1E, "mips64": 0xD81F0000}
NOP = {"arm": 0xE320F000, "mips64": 0}
#: ldr r2, [r0]; str r2, [r1], and the same with 64 bits
COPY = {"arm": [0xE5902000, 0xE5903004, 0xE5812000, 0xE5813004], "mips64": [0xDC820000, 0xFCA20000]}
#: push {r4, lr}; bl; pop {r4, pc} and what is as much on MIPS, of which the third word calls
CALL = {
    "arm": [0xE92D4010, 0xE320F000, 0xEBFFFFFE, 0xE8BD8010],
    "mips64": [0x67BDFFF0, 0xFFBF0008, 0x0C000000, 0x00000000, 0xDFBF0008, 0x67BD0010, 0xD81F0000],
}
CALL_KIND = {"arm": ("arm_call", -8), "mips64": ("mips_26", 0)}


@pytest.fixture(scope="module")
def engines() -> dict[str, Emulator]:
    return {isa: Emulator(isa) for isa in ISAS}


def code(isa: str, words: list[int]) -> bytes:
    return struct.pack(f"{'<' if byte_order_of(isa) == 'little' else '>'}{len(words)}I", *words)


def signature(params: list[Type], returns: list[Type], callconv: str = "") -> Signature:
    return Signature(tuple(map(AbiParam, params)), tuple(map(AbiParam, returns)), callconv)


def run(engine: Emulator, made: Signature, words: list[int], *values: int, poison: int = 0) -> Run:
    engine.load(code(engine.machine.name, words), made)
    return engine.run(values, b"", poison)


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("type_", [I8, I16, I32, I64, F32, F64])
def test_a_value_is_in_a_slot_of_64_bits(
    engines: dict[str, Emulator], isa: str, type_: Type
) -> None:
    value = 0x8123_4567_89AB_CDEF & type_.mask
    made = run(engines[isa], signature([type_], [type_]), [*COPY[isa], RET[isa]], value)
    assert (made.stop, made.values, made.frame) == (RETURN, (value,), ())


@pytest.mark.parametrize("isa", ISAS)
def test_above_a_narrow_integer_is_anything_unless_it_is_extended(
    engines: dict[str, Emulator], isa: str
) -> None:
    words = [*COPY[isa], RET[isa]]
    plain = [run(engines[isa], signature([I8], [I64]), words, 5, poison=p).values for p in (0, 1)]
    assert plain[0] != plain[1]
    assert {value & 0xFF for (value,) in plain} == {5}
    extended = Signature((AbiParam(I8, "sext"),), (AbiParam(I64),))
    assert run(engines[isa], extended, words, 0xFE).values == ((1 << 64) - 2,)
    promised = Signature((AbiParam(I64),), (AbiParam(I8, "uext"),))
    broken = run(engines[isa], promised, words, 0x105)
    assert [what for what, _, _ in broken.frame] == ["register of result 0, i8 uext"]


@pytest.mark.parametrize("isa", ISAS)
def test_where_everything_goes(isa: str) -> None:
    made = passing(signature([I8, I128, F32, I64] * 3, [I128, F64, I16]), MACHINES[isa])
    assert {piece.register for piece in (*made.args, *made.results)} == {-1}
    assert [piece.offset for piece in made.args[:6]] == [0, 16, 24, 32, 40, 48]
    assert [(piece.offset, piece.shift) for piece in made.results] == [
        (0, 0),
        (8, 64),
        (16, 0),
        (24, 0),
    ]
    assert (made.stack, made.area) == (144, 32)


KEPT = {
    "arm": [(0xE3A00001 | n << 12, f"r{n}") for n in range(4, 12)]
    + [(0xEEB78B00, "d8"), (0xEEB7FB00, "d15"), (0xE24DD010, "sp"),
       (0xE58D0040, "caller's frame at sp+64")],
    "mips64": [(0x24000001 | 16 + n << 16, f"s{n}") for n in range(8)]
    + [(0x241C0001, "gp"), (0x241E0001, "fp"), (0x44A0C000, "f24"), (0x44A0F800, "f31"),
       (0x67BDFFF0, "sp"), (0xFFA00040, "caller's frame at sp+64")],
}  # fmt: skip


@pytest.mark.parametrize(
    ("isa", "word", "what"), [(isa, word, what) for isa in ISAS for word, what in KEPT[isa]]
)
def test_broken_promises_are_seen(
    engines: dict[str, Emulator], isa: str, word: int, what: str
) -> None:
    made = run(engines[isa], signature([], []), [word, RET[isa]])
    assert made.stop == RETURN
    assert [name for name, _, _ in made.frame] == [what]


FREE = {
    "arm": [0xE3A02001, 0xE3A0C001, 0xEEB70B00, 0xEEB77B00, 0xEEF70B00, 0xEEF7FB00, 0xE3500000],
    "mips64": [0x24020001, 0x24080001, 0x24190001, 0x44A00000, 0x44A0B800],
}


@pytest.mark.parametrize(("isa", "word"), [(isa, word) for isa in ISAS for word in FREE[isa]])
def test_what_a_function_may_destroy(engines: dict[str, Emulator], isa: str, word: int) -> None:
    assert run(engines[isa], signature([], []), [word, RET[isa]]).frame == ()


@pytest.mark.parametrize(
    ("isa", "word"),
    [("arm", 0xE7F000F0), ("arm", 0xE7FFDEFE), ("arm", 0xE1200070), ("mips64", 0x8C000FFC)],
)
def test_a_trap_is_where_its_instruction_is(
    engines: dict[str, Emulator], isa: str, word: int
) -> None:
    made = run(engines[isa], signature([], []), [NOP[isa], word])
    assert (made.stop, made.offset) == (TRAP, 4)


def test_an_exception_of_mips_is_nowhere(engines: dict[str, Emulator]) -> None:
    """Unicorn loses PC: it is no return, but what it is is not known."""
    for word in (0x0000000D, 0x000001F4):  # break; teq $0, $0, 7
        assert run(engines["mips64"], signature([], []), [0, word]).stop == STRAY


@pytest.mark.parametrize("isa", ISAS)
def test_a_fault_tells_where_and_to_what(engines: dict[str, Emulator], isa: str) -> None:
    word = {"arm": 0xE5100008, "mips64": 0xDC020008}[isa]  # ldr r0, [r0, #-8]; ld $2, 8($0)
    zero = {"arm": 0xE3A00000, "mips64": 0}[isa]
    made = run(engines[isa], signature([], []), [zero, word, RET[isa]])
    address = {"arm": (1 << 32) - 8, "mips64": 8}[isa]
    assert (made.stop, made.offset, made.address) == (FAULT, 4, address)


@pytest.mark.parametrize("isa", ISAS)
def test_what_does_not_end_is_stopped(engines: dict[str, Emulator], isa: str) -> None:
    words = {"arm": [0xEAFFFFFE], "mips64": [0x1000FFFF, 0]}[isa]
    assert run(engines[isa], signature([], []), words).stop == TIMEOUT


@pytest.mark.parametrize("isa", ISAS)
def test_floats_are_on_and_subnormals_and_nans_are_kept(
    engines: dict[str, Emulator], isa: str
) -> None:
    words = {
        # vldr d0, [r0]; vldr d1, [r0, #8]; vadd.f64 d0, d0, d1; vstr d0, [r1]
        "arm": [0xED900B00, 0xED901B02, 0xEE300B01, 0xED810B00],
        # ldc1 $f0, 0($4); ldc1 $f1, 8($4); add.d $f0, $f0, $f1; sdc1 $f0, 0($5)
        "mips64": [0xD4800000, 0xD4810008, 0x46210000, 0xF4A00000],
    }[isa]
    made = signature([F64, F64], [F64])
    for values, result in (
        ((0x3FF0_0000_0000_0000, 0x4000_0000_0000_0000), 0x4008_0000_0000_0000),
        ((5, 6), 11),
        ((0x7FF0_0000_0000_0123, 0), 0x7FF8_0000_0000_0123),
        ((0, 0x7FF8_0000_0000_0456), 0x7FF8_0000_0000_0456),
    ):
        assert run(engines[isa], made, [*words, RET[isa]], *values).values == (result,)


def call_of(engine: Emulator, name: str, made: Signature) -> None:
    """The function under test hands the two addresses that it got on to ``name``."""
    isa = engine.machine.name
    kind, addend = CALL_KIND[isa]
    linkage = Linkage([Reloc(8, kind, name, addend)], {}, {name: made})
    engine.load(code(isa, CALL[isa]), made, linkage=linkage)


@pytest.mark.parametrize("isa", ISAS)
def test_a_function_from_outside_is_called_alike(engines: dict[str, Emulator], isa: str) -> None:
    made = signature([I8, I128, F32, F64], [I64, I128])
    call_of(engines[isa], "h", made)
    values = (0xFE, 1 << 127 | 5, 0x3F80_0000, 0x8000_0000_0000_0001)
    runs = [engines[isa].run(values, b"", poison) for poison in (0, 1)]
    assert [(each.stop, each.calls, each.frame) for each in runs] == [
        (RETURN, (("h", values),), ())
    ] * 2
    assert runs[0].values == runs[1].values
    assert all(runs[0].values)


@pytest.mark.parametrize("isa", ISAS)
def test_a_function_from_outside_destroys_what_it_may(
    engines: dict[str, Emulator], isa: str
) -> None:
    """What it got the address in is copied to the result: other poison in each run."""
    engine, words = engines[isa], CALL[isa].copy()
    made = signature([I64], [I64])
    if isa == "arm":  # push {r4, lr}; mov r4, r1; bl; strd r2, r3, [r4]; pop {r4, pc}
        words[1:2] = [0xE1A04001]
        words.insert(3, 0xE1C420F0)
    else:  # the address is kept on the stack; sd $9 there
        words[1:6] = [0xFFBF0008, 0x0C000000, 0xFFA50000, 0xDFA50000, 0xFCA90000, 0xDFBF0008,
                      0x67BD0010]  # fmt: skip
    kind, addend = CALL_KIND[isa]
    nothing = signature([], [])
    linkage = Linkage([Reloc(8, kind, "h", addend)], {}, {"h": nothing})
    engine.load(code(isa, words), made, linkage=linkage)
    runs = [engine.run((9,), b"", poison) for poison in (0, 1)]
    assert [(each.stop, each.frame) for each in runs] == [(RETURN, ())] * 2
    assert runs[0].values != runs[1].values


def test_a_pair_of_results_is_in_pairs_of_registers_on_arm(engines: dict[str, Emulator]) -> None:
    """push {r4, lr}; mov r4, r1; ldm r0 to r0-r3; bl; stm r4 of r0-r3; pop {r4, pc}"""
    words = [0xE92D4010, 0xE1A04001, 0xE890000F, 0xEBFFFFFE, 0xE884000F, 0xE8BD8010]
    linkage = Linkage([Reloc(12, "arm_call", "__aeabi_ldivmod", -8)], {}, {})
    engines["arm"].load(code("arm", words), signature([I64] * 2, [I64] * 2), linkage=linkage)
    minus_100, seven = (1 << 64) - 100, 7
    made = engines["arm"].run((minus_100, seven), b"")
    assert made.values == ((1 << 64) - 14, (1 << 64) - 2)
    assert (made.stop, made.frame, made.calls) == (RETURN, (), ())


def test_the_upper_half_comes_first_on_mips(engines: dict[str, Emulator]) -> None:
    words = [
        0x67BDFFF0, 0xFFBF0008, 0xFFA50000,  # daddiu sp; sd ra; sd a1
        0xDC870010, 0xDC860018, 0xDC850000, 0xDC840008,  # ld a3, 16(a0); a2, 24; a1, 0; a0, 8
        0x0C000000, 0, 0xDFA50000, 0xFCA30000, 0xFCA20008,  # jal; nop; ld a1; sd v1; sd v0, 8(a1)
        0xDFBF0008, 0x67BD0010, 0xD81F0000,
    ]  # fmt: skip
    linkage = Linkage([Reloc(28, "mips_26", "__udivti3", 0)], {}, {})
    made = signature([I128] * 2, [I128])
    engines["mips64"].load(code("mips64", words), made, linkage=linkage)
    run = engines["mips64"].run((5 << 100 | 77, 3), b"")
    assert (run.stop, run.values, run.frame) == (RETURN, ((5 << 100 | 77) // 3,), ())


@pytest.mark.parametrize(
    ("isa", "name", "places"),
    [
        ("arm", "__aeabi_ul2d", [(False, 0), (False, 1)]),
        ("arm", "__aeabi_d2lz", [(False, 0), (False, 1)]),
        ("arm", "fma", [(True, 16), (True, 17), (True, 18)]),
        ("arm", "fmaf", [(True, 0), (True, 1), (True, 2)]),
        ("arm", "__floattidf", [(False, 0), (False, 1), (False, 2), (False, 3)]),
        ("arm", "memcpy", [(False, 0), (False, 1), (False, 2)]),
        ("mips64", "fma", [(True, 0), (True, 1), (True, 2)]),
        ("mips64", "memset", [(False, 0), (False, 1), (False, 2)]),
        ("mips64", "__floattidf", [(False, 0), (False, 1)]),
    ],
)
def test_where_arguments_of_the_library_are(
    isa: str, name: str, places: list[tuple[bool, int]]
) -> None:
    machine = MACHINES[isa]
    made = passing(library_of(machine)[name].signature, machine)
    assert [(piece.is_float, piece.register) for piece in made.args] == places


def test_the_library_of_other_machines_is_as_it_was() -> None:
    assert library_of(MACHINES["aarch64"]) is LIBRARY
    for isa in ISAS:
        found = library_of(MACHINES[isa])
        assert found.keys() >= LIBRARY.keys()
        assert found["%FloorF64"] is LIBRARY["%FloorF64"]


@pytest.mark.parametrize(
    ("kind", "word", "distance", "wanted"),
    [
        ("arm_call", 0x1BFFFFFE, 0x100, 0x1B000040),
        ("arm_call", 0xEA000000, -8, 0xEAFFFFFE),
        ("mips_26", 0x0C000000, 0x100, 0x0C400040),
    ],
)
def test_relocations(kind: str, word: int, distance: int, wanted: int) -> None:
    isa = "arm" if kind == "arm_call" else "mips64"
    base = 0x0100_0000
    made = relocate(code(isa, [word]), [Reloc(0, kind, "f", 0)], base, lambda _: base + distance,
                    byte_order_of(isa))  # fmt: skip
    assert made == code(isa, [wanted])


@pytest.mark.parametrize(
    ("kind", "target"), [("arm_call", 1 << 25), ("arm_call", 2), ("mips_26", 1 << 28)]
)
def test_a_call_that_is_too_far(kind: str, target: int) -> None:
    with pytest.raises(ExecutorLimit, match="a call"):
        relocate(bytes(4), [Reloc(0, kind, "f", 0)], 0, lambda _: target)


@pytest.mark.parametrize("isa", ISAS)
def test_code_is_decoded_in_its_byte_order(isa: str) -> None:
    texts = [text.split()[0] for _, text in decode(isa, code(isa, [NOP[isa], KEPT[isa][0][0]]))]
    assert texts == {"arm": ["nop", "mov"], "mips64": ["nop", "addiu"]}[isa]
    assert layout.CODE >> 28 == layout.STUBS >> 28
