"""What is drawn of what a target has."""

from __future__ import annotations

from functools import partial

import pytest

from backend.ir.opcodes import Opcode
from backend.ir.types import F32, F64, I128, Type
from fuzzer.generate.catalogue import Catalogue, undrawn
from fuzzer.generate.operations import Supports
from fuzzer.targets import target_named


def without(*names: str, wide: tuple[Type, ...] = ()) -> Supports:
    def supports(op: Opcode, type_: Type | None, second: Type | None) -> bool:
        return op.name not in names and (
            bool(wide) or not {type_, second} & {F32, F64, I128}
        )  # fmt: skip

    return supports


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ((), []),
        (("trap", "ishl"), ["ishl: load, store,"]),
        (("jump",), ["jump: brif, br_table"]),
        (("jump", "brif"), ["jump: br_table"]),
    ],
)
def test_what_is_there_and_not_drawn_is_told(names: tuple[str, ...], said: list[str]) -> None:
    lines = undrawn(without(*names))
    assert [line.startswith(f"not drawn without {each}") for line, each in zip(lines, said, strict=True)] == [
        True for _ in said
    ]  # fmt: skip


def test_a_wide_type_is_told_of_that_lacks_little() -> None:
    supports = without("fmin", wide=(F32, F64))
    lines = [f"not drawn without fmin.{name}: {name}" for name in ("f32", "f64")]
    assert undrawn(supports) == lines
    assert Catalogue(supports).groups == 1
    assert undrawn(without(wide=())) == []


@pytest.mark.parametrize("isa", ["aarch64", "x86_64"])
def test_everything_is_drawn_of_our_own(isa: str) -> None:
    assert undrawn(partial(target_named("builtin").supports, isa)) == []
