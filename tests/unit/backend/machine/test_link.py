"""Several functions in one blob."""

from __future__ import annotations

import pytest

from backend.compile import compile_function, compile_module
from backend.ir.entities import Function
from backend.ir.filetest import parse_file
from backend.isa import ISA_NAMES
from backend.machine import link
from backend.machine.link import ALIGN

FILE = """
function %f(i32) -> i32 {
    fn0 = %g(i32) -> i32
    fn1 = %elsewhere(i32) -> i32
block0(v0: i32):
    v1 = call fn0(v0)
    v2 = call fn1(v1)
    return v2
}
function %unused(f128) {
block0(v0: f128):
    return
}
function %g(i32) -> i32 {
    fn0 = %f(i32) -> i32
block0(v0: i32):
    trapz v0, user7
    v1 = call fn0(v0)
    return v1
}
"""


def functions() -> list[Function]:
    return [entry.function for entry in parse_file(FILE).functions]


@pytest.mark.parametrize("isa", ISA_NAMES)
def test_what_is_called_stands_behind_its_caller(isa: str) -> None:
    code = compile_module(functions(), isa)
    assert list(code.symbols) == ["%f", "%g"]
    assert code.symbols["%f"] == 0
    assert code.symbols["%g"] % ALIGN == 0
    assert [trap for _, trap in code.traps] == ["user7"]
    assert all(at >= code.symbols["%g"] for at, _ in code.traps)


@pytest.mark.parametrize("isa", ISA_NAMES)
def test_only_what_is_outside_is_left_to_relocate(isa: str) -> None:
    (reloc,) = compile_module(functions(), isa).relocs
    assert reloc.symbol == "%elsewhere"
    alone = compile_function(functions()[0], isa)
    assert [reloc.symbol for reloc in alone.relocs] == ["%g", "%elsewhere"]


@pytest.mark.parametrize("isa", ISA_NAMES)
def test_the_stages_are_those_of_all_and_show_where_calls_go(isa: str) -> None:
    code = compile_module(functions(), isa)
    asm = code.stages["asm"]()
    assert f"{code.symbols['%g']:#x}" in asm
    assert "%f" in code.stages["vcode"]()
    assert "%g" in code.stages["vcode"]()


@pytest.mark.parametrize("isa", ISA_NAMES)
def test_a_function_without_calls_is_as_it_was(isa: str) -> None:
    (entry,) = parse_file("function %f(i32) -> i32 {\nblock0(v0: i32):\nreturn v0\n}\n").functions
    assert compile_module([entry.function], isa).code == compile_function(entry.function, isa).code


@pytest.mark.parametrize(
    ("field", "by"), [("capacity", -1000), ("length", 4), ("length", -4), ("taken", 1)]
)
def test_what_is_wrong_with_one_buffer_is_wrong_with_all(
    field: str, by: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = link._resolve

    def spoil(part: link.Part, *rest: object) -> object:
        if "%g" in part.code.symbols:
            audit = part.finished.audit
            setattr(audit, field, getattr(audit, field) + by)
        return usual(part, *rest)  # type: ignore[arg-type]  # what it was given

    monkeypatch.setattr(link, "_resolve", spoil)
    code = compile_module(functions())
    audit = code.audit
    assert audit is not None
    sound = (audit.capacity >= len(code.code), audit.length == len(code.code), audit.taken == 1)
    assert sound.count(False) == 1
