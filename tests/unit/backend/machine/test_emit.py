"""Layout decisions of the emitter, seen in the text of what it put."""

from __future__ import annotations

import pytest

from backend.compile import compile_function
from backend.ir.parser import parse_function
from backend.machine.compiled import CompiledCode
from backend.options import Options, Value


def compiled(text: str, **options: Value) -> CompiledCode:
    return compile_function(parse_function(text), options=Options.from_dict(options))


def words(code: CompiledCode) -> list[str]:
    """The mnemonics, without prologue and epilogue."""
    assert code.texts is not None
    return [text.partition(" ")[0] for _, text in code.texts()]


DIAMOND = """function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1, block2
block1:
    jump block3(v0)
block2:
    jump block3(v1)
block3(v2: i32):
    return v2
}"""


def test_a_jump_to_the_next_block_is_dropped() -> None:
    assert words(compiled("function %f() {\nblock0:\n jump block1\nblock1:\n return\n}")) == [
        "stp", "mov", "ldp", "ret"]  # fmt: skip


def test_a_branch_is_turned_round_when_its_target_comes_next() -> None:
    code = compiled("""function %f(i32, i32) -> i32 {
block0(v0: i32, v1: i32):
    brif v0, block1, block2
block1:
    v2 = imul v0, v1
    return v2
block2:
    v3 = iadd v0, v1
    return v3
}""")
    without_moves = [word for word in words(code) if word != "mov"]
    assert without_moves == ["stp", "cbz", "mul", "ldp", "ret", "add", "ldp", "ret"]


def test_blocks_that_only_jump_are_threaded() -> None:
    code = compiled("""function %f(i32) -> i32 {
block0(v0: i32):
    brif v0, block1, block2
block1:
    jump block3
block2:
    jump block3
block3:
    return v0
}""")
    assert words(code) == ["stp", "mov", "ldp", "ret"]


def test_a_ring_of_jumps_ends() -> None:
    code = compiled("""function %f() {
block0:
    jump block1
block1:
    jump block2
block2:
    jump block3
block3:
    jump block1
}""")
    assert words(code) == ["stp", "mov", "b"]
    assert code.texts is not None
    assert code.texts()[-1] == (8, "b #0")


def test_cold_blocks_go_last() -> None:
    code = compiled("""function %f(i32) -> i32 {
block0(v0: i32):
    brif v0, block1, block2
block1 cold:
    trap user9
block2:
    return v0
}""")
    assert words(code) == ["stp", "mov", "cbnz", "ldp", "ret", "udf"]


def test_a_trap_record_is_exactly_at_the_instruction() -> None:
    code = compiled("""function %f(i64, i32, i32) -> i32 {
block0(v0: i64, v1: i32, v2: i32):
    v3 = load.i32 user4 v0
    store user5 v1, v0+8
    v4 = load.i32 notrap v0+4
    v5 = sdiv v3, v4
    return v5
}""")
    assert code.texts is not None
    at = dict(code.texts())
    assert [(at[offset].partition(" ")[0], trap) for offset, trap in code.traps] == [
        ("ldr", "user4"), ("str", "user5"), ("udf", "int_divz"), ("udf", "int_ovf")]  # fmt: skip


def test_a_short_reach_makes_veneers() -> None:
    long = "\n".join(f"v{n} = iadd v{n - 1}, v1" for n in range(3, 60))
    text = f"""function %f(i32, i32) -> i32 {{
block0(v0: i32, v1: i32):
    v2 = iadd v0, v1
    brif v0, block1, block2
block1:
    {long}
    return v59
block2:
    return v2
}}"""
    plain, short = compiled(text), compiled(text, branch_reach=64)
    assert plain.audit is not None
    assert short.audit is not None
    assert "island" not in {what for _, _, what in plain.audit.spans}
    assert "island" in {what for _, _, what in short.audit.spans}
    assert words(short).count("b") > words(plain).count("b")


def test_padding_forces_a_veneer_of_a_test_branch() -> None:
    code = compiled(
        """function %f(i32) -> i32 {
block0(v0: i32):
    v1 = iconst.i32 4
    v2 = band v0, v1
    brif v2, block1, block2
block1:
    return v0
block2:
    return v1
}""",
        pad=33000,
    )
    assert code.audit is not None
    kinds = [what for _, _, what in code.audit.spans]
    assert "padding" in kinds
    assert "island" in kinds
    assert len(code.code) > 33000
    assert sum(high - low for low, high in code.data_ranges) == 33000


def test_an_unreachable_block_vanishes() -> None:
    code = compiled("function %f() {\nblock0:\n return\nblock1:\n trap user1\n}")
    assert code.traps == []


@pytest.mark.parametrize("entries", [1, 5, 4095, 4096, 5000])
def test_a_jump_table_is_data(entries: int) -> None:
    table = ", ".join(["block1", "block2"] * (entries // 2) + ["block1"] * (entries % 2))
    code = compiled(f"""function %f(i32) -> i32 {{
block0(v0: i32):
    br_table v0, block3, [{table}]
block1:
    v1 = iconst.i32 1
    return v1
block2:
    v2 = iconst.i32 2
    return v2
block3:
    return v0
}}""")
    assert [high - low for low, high in code.data_ranges] == [4 * entries]


def test_compiling_twice_gives_the_same_bytes() -> None:
    assert compiled(DIAMOND).code == compiled(DIAMOND).code
