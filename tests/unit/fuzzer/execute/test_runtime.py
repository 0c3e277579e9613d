"""A compiled run-time library says what the executor says, and takes its place in nothing but the answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from backend.ir.entities import AbiParam, Signature
from backend.ir.types import F32, I32, I64, I128, Type
from fuzzer.case import DATA_BASE
from fuzzer.cli import cli
from fuzzer.execute import layout, library, runtime, runtime_build
from fuzzer.execute.emulator import RETURN, Emulator, Run
from fuzzer.execute.library import LIBRARY, LibraryFunction, library_of
from fuzzer.execute.machines import MACHINES
from fuzzer.execute.relocate import ExecutorLimit, Linkage
from fuzzer.execute.second import Elsewhere, second_executor


class Jump(NamedTuple):
    """A jump to a function: the code, and the relocation in it."""

    code: bytes
    offset: int
    kind: str
    addend: int = 0


JUMPS = {
    "aarch64": Jump(bytes.fromhex("00000014"), 0, "call26"),
    "x86_64": Jump(bytes.fromhex("e900000000"), 1, "pc_rel32", -4),
    "riscv64": Jump(bytes.fromhex("1703000067000300"), 0, "riscv_call"),
    "s390x": Jump(bytes.fromhex("c0f400000000"), 2, "pc_rel32_dbl", 2),
}
here = pytest.mark.parametrize(
    "isa",
    [pytest.param(isa, marks=pytest.mark.skipif(
        runtime.blob_of(isa) is None, reason=f"no compiled run-time library: {runtime.unavailable(isa)}"
    )) for isa in JUMPS],
)  # fmt: skip

INTEGERS = (0, 1, 2, 3, 10, (1 << 31) - 1, 1 << 31, (1 << 53) + 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1, 1 << 64,
            (1 << 64) + 1, (1 << 100) + 12345, (1 << 127) - 1, 1 << 127, (1 << 128) - 2, (1 << 128) - 1)  # fmt: skip
FLOATS = {
    32: (0, 1, 0x80_0000, 0x3F00_0000, 0x3F00_0001, 0x3EFF_FFFF, 0x3F80_0000, 0x3FC0_0000, 0x4020_0000, 0x4B00_0001,
         0x4B7F_FFFF, 0x7F7F_FFFF, 0x7F80_0000, 0x7FC0_0000, 0x7F80_0001),
    64: (0, 1, 1 << 52, 0x3FE << 52, (0x3FE << 52) + 1, 0x3FDF_FFFF_FFFF_FFFF, 0x3FF << 52, 0x3FF8 << 48, 0x4004 << 48,
         0x4330_0000_0000_0001, 0x433F_FFFF_FFFF_FFFF, 0x7FEF_FFFF_FFFF_FFFF, 0x7FF << 52, 0x7FF8 << 48,
         (0x7FF << 52) + 1),
}  # fmt: skip


def boundaries(type_: Type, rng: random.Random) -> int:
    if type_.is_float:
        value = rng.choice(FLOATS[type_.bits])
        return value | rng.getrandbits(1) << type_.bits - 1
    value = rng.choice(INTEGERS)
    return (value if rng.random() < 0.6 else rng.getrandbits(rng.randrange(1, 129))) & type_.mask


class Routine:
    """A function of the library, called by a jump on one engine."""

    def __init__(self, engine: Emulator, name: str, signature: Signature, size: int = 0) -> None:
        jump = JUMPS[engine.machine.name]
        reloc = SimpleNamespace(offset=jump.offset, kind=jump.kind, symbol=name, addend=jump.addend)
        engine.load(jump.code, signature, size, linkage=Linkage([reloc], {}, {}))
        self.engine = engine

    def run(self, args: tuple[int, ...], memory: bytes = b"") -> Run:
        return self.engine.run(args, memory)


@pytest.fixture(autouse=True)
def chooses_nothing_for_others() -> Iterator[None]:
    with runtime.instead(runtime.EXECUTOR):
        yield


def both(isa: str, name: str, function: LibraryFunction, size: int = 0) -> tuple[Routine, Routine]:
    """The same function as the executor has it, and as it was compiled."""
    made = []
    for kind in runtime.KINDS:
        with runtime.instead(kind):
            made.append(Routine(Emulator(isa), name, function.signature, size))
    theirs = made[1].engine._outside
    assert theirs is not None
    assert theirs.blob is not None
    assert theirs.names == []
    return made[0], made[1]


def is_nan(bits: int, type_: Type) -> bool:
    infinity = 0x7F80_0000 if type_ is F32 else 0x7FF << 52
    return bits & ~type_.sign > infinity


def told(run: Run, type_: Type) -> object:
    """What is promised of a result: of a NaN only that it is a quiet one. One that is not returned is in memory."""
    assert run.stop == RETURN
    assert run.frame == ()
    (value,) = run.values or (int.from_bytes(run.memory[:16], "big"),)
    if not type_.is_float or not is_nan(value, type_):
        return value
    return "NaN" if value >> (22 if type_ is F32 else 51) & 1 else "signalling NaN"


def by_address(
    args: tuple[int, ...], types: list[Type], result: Type
) -> tuple[tuple[int, ...], bytes]:
    """The arguments where an i128 goes by address, and the page of memory that holds them."""
    memory = bytes(16)
    passed = [DATA_BASE] if result is I128 else []
    for value, type_ in zip(args, types, strict=True):
        if type_ is I128:
            passed.append(DATA_BASE + len(memory))
            memory += value.to_bytes(16, "big")
        else:
            passed.append(value)
    return tuple(passed), memory.ljust(4096, b"\xa5")


def is_defined(name: str, args: tuple[int, ...]) -> bool:
    if "div" in name or "mod" in name:
        least = args[0] == I128.sign and args[1] == I128.mask
        return args[1] != 0 and not (least and "u" not in name[2:4])
    return name not in library._SHIFTS or args[1] < 128


@here
def test_each_routine_says_what_the_executor_says(isa: str) -> None:
    blob = runtime.blob_of(isa)
    assert blob is not None
    compared = set()
    passed = library_of(MACHINES[isa])
    plain = LIBRARY | library._SHIFTS
    for name in passed:
        if blob.address(name) is None or "mem" in name.lower():
            continue
        types = [param.type for param in plain[name].signature.params]
        result = plain[name].signature.returns[0].type
        addressed = isa == "s390x" and I128 in (*types, result)
        ours, theirs = both(isa, name, passed[name], 4096 if addressed else 0)
        compared.add(name)
        rng = random.Random(name)
        for _ in range(60):
            args = tuple(boundaries(type_, rng) for type_ in types)
            if name in library._SHIFTS:
                args = args[0], args[1] % 256
            if not is_defined(name, args):
                continue
            given, memory = by_address(args, types, result) if addressed else (args, b"")
            expected = told(ours.run(given, memory), result)
            if name.startswith("__fix") and expected == library._OUT_OF_RANGE:
                continue
            assert told(theirs.run(given, memory), result) == expected, (name, args)
    assert compared.isdisjoint(
        {"fma", "ceil", "floorf", "%FloorF64"}
    )  # they hand a signalling NaN on
    assert ("fmaf" in compared) == (isa != "s390x")  # there MDEBR is in it
    assert ("%FmaF32" in compared) == (isa != "s390x")
    assert {"__udivti3", "__modti3", "__fixunsdfti", "__floattisf"} <= compared
    assert (library._SHIFTS.keys() <= compared) == (isa == "s390x")


@here
def test_memory_is_copied_filled_and_compared(isa: str) -> None:
    page = MACHINES[isa].page
    memory = bytes(range(256)) * (page // 256)
    for size in (0, 1, 7, 8, 31, 100):
        for name, args in (
            ("memcpy", (DATA_BASE + 3, DATA_BASE + 300, size)),
            ("memmove", (DATA_BASE + 3, DATA_BASE + 11, size)),
            ("memmove", (DATA_BASE + 11, DATA_BASE + 3, size)),
            ("memset", (DATA_BASE + 5, 0x1_A5, size)),
            ("memcmp", (DATA_BASE + 5, DATA_BASE + 261, size)),
            ("memcmp", (DATA_BASE + 5, DATA_BASE + 200, size)),
        ):
            ours, theirs = both(isa, name, LIBRARY[name], page)
            expected, got = ours.run(args, memory), theirs.run(args, memory)
            assert (got.stop, got.memory, got.calls) == (RETURN, expected.memory, ())
            if name == "memcmp":
                sign, other = ((v & I32.sign, v == 0) for v in (*expected.values, *got.values))
                assert sign == other
            else:
                assert got.values == expected.values


@here
def test_it_has_what_the_executor_does_not_know(isa: str) -> None:
    signature = Signature((AbiParam(I64), AbiParam(I64)), (AbiParam(I64),))
    with pytest.raises(ExecutorLimit, match="__udivdi3 is not declared"):
        Routine(Emulator(isa), "__udivdi3", signature)
    with runtime.instead(runtime.BLOB):
        engine = Emulator(isa)
        assert Routine(engine, "__udivdi3", signature).run((1 << 60, 10)).values == (
            (1 << 60) // 10,
        )
        # And what it has not is the executor's to answer, or nobody's.
        blob = runtime.blob_of(isa)
        assert blob is not None
        assert blob.address("%Memcpy") == blob.symbols["memcpy"]
        assert blob.address("%g") is None
        with pytest.raises(ExecutorLimit, match="is not declared"):
            Routine(engine, "%g", signature)


@here
def test_a_second_executor_takes_it_along(isa: str) -> None:
    second = second_executor("qemu", isa)
    if second is None:
        pytest.skip(f"no second executor for {isa}")
    signature = LIBRARY["memset"].signature
    args = (DATA_BASE + 5, 0xA5, 100)
    page = bytes(4096)
    with runtime.instead(runtime.BLOB):
        there = Routine(Elsewhere(isa, second), "memset", signature, 4096).run(args, page)
    here = Routine(Emulator(isa), "memset", signature, 4096).run(args, page)
    assert (there.stop, there.values, there.memory) == (RETURN, here.values, here.memory)
    assert there.memory[5:105] == b"\xa5" * 100


@here
def test_its_data_can_not_be_written_and_its_code_not_either(isa: str) -> None:
    blob = runtime.blob_of(isa)
    assert blob is not None
    for segment in blob.segments:
        assert not segment.flags & 2
        assert segment.address >= layout.RUNTIME
        assert segment.address + len(segment.data) <= layout.RUNTIME + layout.RUNTIME_SIZE


def test_another_isa_s_code_and_what_is_none_is_no_library(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    runtime.blob_of.cache_clear()
    try:
        assert runtime.blob_of("aarch64") is None
        file = runtime.file_of("aarch64")
        file.parent.mkdir(parents=True)
        for content in (b"", b"\x7fELF", b"\x7fELF" + bytes(200)):
            file.write_bytes(content)
            runtime.blob_of.cache_clear()
            assert runtime.blob_of("aarch64") is None
        for arguments in (["fuzz", "-n", "1"], ["replay", "corpus"]):
            with runtime.instead(runtime.EXECUTOR):
                result = CliRunner().invoke(cli, [*arguments, "--runtime", "blob"])
            assert result.exit_code == 2
            assert "--runtime blob: not built for" in result.output
    finally:
        runtime.blob_of.cache_clear()


def test_without_zig_the_builder_says_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime_build, "find_spec", lambda name: None)
    result = CliRunner().invoke(cli, ["doctor", "--build", "runtime"])
    assert result.exit_code == 2
    assert (
        result.output
        == "clifhanger: --build runtime: it needs ziglang: pip install 'clifhanger[zig]'\n"
    )
