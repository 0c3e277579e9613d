"""The reference interpreter: what running a function *has to* come to.

A function is translated once (:func:`prepare`, :mod:`fuzzer.reference.translate`), with every function it calls
(:mod:`fuzzer.reference.linker`), and run on many inputs (:mod:`fuzzer.reference.program`). What has no meaning here
(vectors, the environment) raises ``Unsupported`` when the function is prepared, never in a run. Functions have to
be valid (:mod:`backend.ir.verifier`).
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from backend.ir.entities import Function, Value
from fuzzer.case import Case, byte_order_of
from fuzzer.outcome import Outcome
from fuzzer.reference.linker import Linker
from fuzzer.reference.program import Program
from fuzzer.reference.translate import Translator


def prepare(
    function: Function,
    byte_order: str = "little",
    *,
    lean: bool = False,
    others: Iterable[Function] = (),
    externals: bool = True,
    canonical_nans: bool = False,
) -> Program:
    """Translate a valid function. ``byte_order``: that of accesses whose flags name none. ``lean``: leave out what
    no outcome can depend on; of a trace the values of such instructions are not to be asked.

    ``others``: valid functions that may be called by name; ``externals``: names that are not among them are functions
    from outside, else Unsupported; ``canonical_nans``: arithmetic gives the canonical NaN, as compilers do that
    are told to (Cranelift's ``enable_nan_canonicalization``), and no bit is open.

    Unsupported if it uses, or may call, what has no meaning here.
    """
    linker = Linker(
        (function, *others), byte_order, externals=externals, canonical_nans=canonical_nans
    )
    program = linker.program_of(function)
    for each, made in linker.waiting:  # which grows with what is called
        Translator(each, made, linker, _idle(each) if lean else frozenset()).translate()
    return program


def _idle(function: Function) -> AbstractSet[Value]:
    """Results of instructions without effects that nothing uses, or only other such instructions."""
    needed: set[Value] = set()
    idle: set[Value] = set()
    for block in reversed(function.blocks):
        for inst in reversed(block.insts):
            results = inst.results
            if needed.isdisjoint(results) and not inst.op.side_effects:
                idle.update(results)
                continue
            needed.update(inst.args)
            for call in inst.targets:
                needed.update(call.args)
    # A use may stand before its definition in the text, when blocks are not in order of dominance.
    return idle if idle.isdisjoint(needed) else frozenset()


def _program(case: Case) -> Program:
    return prepare(case.function, byte_order_of(case.isa), others=case.others)


def evaluate(case: Case, index: int) -> Outcome:
    """What a case comes to on its input ``index``."""
    return _program(case).run(case.inputs[index], case.memory)


def outcomes_of(case: Case) -> list[Outcome]:
    """What a case comes to on each of its inputs."""
    program = _program(case)
    return [program.run(values, case.memory) for values in case.inputs]
