"""Compiled floats, run and held to what their rows say."""

from __future__ import annotations

from backend.compile import compile_function
from backend.ir.entities import Function
from backend.ir.parser import parse_function
from backend.isa import isa_named
from backend.options import Options
from fuzzer.case import Input
from fuzzer.execute.emulator import FAULT, RETURN, TRAP, emulator_for
from tests.few_results import returnable
from tests.float_rows import Meaning, agrees


def run(
    function: Function, isa: str, inputs: list[Input], memory: bytes = b"", **options: int | str
) -> list[tuple[object, bytes]]:
    """Values, or a trap's code, and the memory afterwards, of each input; the same under both poisons."""
    code = compile_function(function, isa, Options.from_dict(dict(options)))
    engine = emulator_for(isa)
    engine.load(code.code, function.signature, len(memory))
    traps = dict(code.traps)
    found: list[tuple[object, bytes]] = []
    for values in inputs:
        runs = [engine.run(values, memory, poison) for poison in (0, 1)]
        assert runs[0].values == runs[1].values
        first = runs[0]
        assert first.frame == ()
        if first.stop == RETURN:
            found.append((first.values, first.memory))
        else:
            assert first.stop in (TRAP, FAULT), (first.stop, hex(first.offset))
            found.append((traps[first.offset], first.memory))
    return found


def judge(text: str, isa: str, meaning: Meaning, inputs: list[Input], **options: int | str) -> None:
    function = parse_function(text)
    every = returnable(function, isa_named(isa))
    for number, one in enumerate(every):
        _judge(one, isa, meaning, inputs, number if len(every) > 1 else -1, **options)


def _judge(
    function: Function,
    isa: str,
    meaning: Meaning,
    inputs: list[Input],
    only: int,
    **options: int | str,
) -> None:
    """``only``: which of the results meant it returns; -1: all."""
    returns = [param.type.name for param in function.signature.returns]
    for values, (got, _) in zip(inputs, run(function, isa, inputs, **options), strict=True):
        meant = meaning(*values)
        if only >= 0 and isinstance(meant, tuple):
            meant = meant[only]
        if isinstance(got, str):
            assert meant == got, ([hex(v) for v in values], meant, got)
            continue
        assert isinstance(got, tuple)
        every = meant if isinstance(meant, tuple) else (meant,)
        right = [agrees(m, g, t) for m, g, t in zip(every, got, returns, strict=True)]
        assert all(right), ([hex(v) for v in values], every, [hex(g) for g in got])
