"""From a source to a whole case: function, inputs, memory image, options; and the strategy over it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from backend.ir.entities import Function
from backend.ir.opcodes import opcode_named
from backend.ir.types import I64, Type
from fuzzer.case import DATA_BASE, Case, Input, OptionValue, byte_order_of
from fuzzer.generate.calls import (
    CALLEE,
    CALLEE_TRIPS,
    TAIL,
    Callee,
    draw_convention,
    draw_outside,
    draw_plan,
    own,
)
from fuzzer.generate.catalogue import DRAWS, Catalogue
from fuzzer.generate.constants import draw_bits
from fuzzer.generate.draft import CALLEE_LIMITS, DEFAULT_LIMITS, Limits
from fuzzer.generate.function import HEADER, FunctionGenerator
from fuzzer.generate.memory import pointers
from fuzzer.generate.operations import TYPES
from fuzzer.generate.source import Choice, HypothesisSource, RecordingSource, ReplaySource, Source
from fuzzer.targets.target import Option, Target

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

INPUT: Final = 104
"""Span label of an input."""
_STRESS: Final = 0.25
"""How often a case departs from the target's default options at all."""

_FEATURES: Final = 0.5
"""How often the processor has more than the baseline."""

_LEVEL: Final = 0.7
"""How often one of the target's levels of optimisation is drawn, be it the default's."""

_CALLS: Final = 0.25
"""How often a case has functions to call, where the target can."""
_CALLEES: Final = 4
_CONVENTION: Final = 0.3
"""How often a function that is called, or that calls, is of another calling convention than most; the ``_ALONE`` is
that of a function in a case without calls."""
_CONVENTION_ALONE: Final = 0.1
_RECURS: Final = 0.25
"""How often a function calls itself."""
_MUTUAL: Final = 0.4
"""How often, if the case's own function does, another calls it and is called by it."""
_CALLING: Final = (opcode_named("call"), opcode_named("call_indirect"))

_PATTERNS: Final = (
    bytes(8),
    bytes(range(256)),
    b"\xff" * 8,
    bytes.fromhex("80000000000000007fffffffffffffff"),
    bytes.fromhex("efbeadde0df0fecac0ffee0012345678"),
    bytes((37 * i + 11) & 0xFF for i in range(251)),
)


class CaseGenerator:
    """Draws cases for one target and ISA. Make one and keep it: it holds the weighted tables.

    ``types``: integers of up to 64 bits are always among those drawn.
    """

    def __init__(
        self, target: Target, isa: str, *, limits: Limits = DEFAULT_LIMITS,
        fixed: dict[str, OptionValue] | None = None, types: Sequence[Type] = TYPES, calls: bool = True,
    ) -> None:  # fmt: skip
        """``types``: that functions are made of; ``calls``: may there be several functions in a case?"""
        self.isa = isa
        self.limits = limits
        self._fits_results = partial(target.fits_results, isa)
        self.catalogue = Catalogue(partial(target.supports, isa), types, target.idioms(isa))
        self._conventions = target.conventions(isa)
        self._names = tuple(self._conventions)
        self._calls = calls and all(target.supports(isa, op, None, None) for op in _CALLING)
        self._globals = target.supports(isa, opcode_named("global_value"), I64, None)
        self._tails = target.supports(isa, opcode_named("return_call"), None, None)
        mine = {option.name for option in target.options_of(isa)}
        self._fixed = {name: value for name, value in (fixed or {}).items() if name in mine}
        drawn = [o for o in target.options_of(isa) if o.name not in self._fixed]
        self._options: Sequence[Option] = [o for o in drawn if not o.feature]
        self._features: Sequence[Option] = [o for o in drawn if o.feature]
        defaults = {option.name: option.default for option in self._options}
        self._levels = [
            {name: value for name, value in level.items() if defaults.get(name, value) != value}
            for level in target.opt_levels.values()
        ]

    def focused(self, forms: Sequence[tuple[str, str]]) -> CaseGenerator:
        """A generator that draws ``forms`` (opcode, type) far more often; itself if there are none."""
        if not forms:
            return self
        other = copy(self)
        other.catalogue = self.catalogue.focused(forms)
        return other

    def draw(self, source: Source) -> Case:
        """One case; what ``source`` answers is all it depends on."""
        options = self._draw_options(source)
        generator, others = self._draw_others(source)
        function = generator.draw()
        size = generator.memory_size
        memory = b""
        if size:
            pattern = _PATTERNS[source.int(0, len(_PATTERNS) - 1)]
            memory = (pattern * (size // len(pattern) + 1))[:size]
            if any(each.globals for each in (function, *others)):
                memory = pointers(memory, byte_order_of(self.isa))
        inputs = self._draw_inputs(source, function, generator.pointer_index)
        return Case(function, inputs, isa=self.isa, memory=memory, options=options, others=others)

    def _draw_others(self, source: Source) -> tuple[FunctionGenerator, list[Function]]:
        """The generator of the case's function, and the functions that it may call."""
        catalogue, fits = self.catalogue, self._fits_results
        if not self._calls or not source.bool(_CALLS):
            callconv = draw_convention(source, self._names, _CONVENTION_ALONE)
            alone = FunctionGenerator(source, catalogue, self.limits, fits, callconv=callconv,
                                      unpassed=self._unpassed(callconv), globals_=self._globals)  # fmt: skip
            return alone, []
        group = catalogue.group(source.int(0, DRAWS - 1))
        types = catalogue.repertoire(group).values
        others: list[Function] = []
        callees: list[Callee] = []
        memory = False

        def plan(name: str, limits: Limits, recurs: bool, callconv: str) -> tuple[Callee, ...]:
            """The ring of a function that may call itself; () if it does not."""
            if not recurs:
                return ()
            unpassed = self._unpassed(callconv)
            passed = [type_ for type_ in types if type_ not in unpassed]
            return (draw_plan(source, name, passed, fits, parameters=limits.parameters, memory=memory,
                              globals_=self._globals, callconv=callconv),)  # fmt: skip

        def drawn(limits: Limits, ring: Sequence[Callee], callconv: str) -> FunctionGenerator:
            return FunctionGenerator(source, catalogue, limits, fits, group=group, callees=callees, memory=memory,
                                     callconv=callconv, unpassed=self._unpassed(callconv),
                                     globals_=self._globals, ring=ring)  # fmt: skip

        def add(ring: Sequence[Callee], callconv: str) -> Callee:
            """One more function of the case."""
            callee = drawn(CALLEE_LIMITS, ring, callconv)
            callee.trips = CALLEE_TRIPS
            function = callee.draw()
            function.name = f"%g{len(others)}"
            others.append(function)
            return ring[0] if ring else own(function, callee.pointer_index)

        while len(callees) < _CALLEES:
            source.start(CALLEE)
            more = not callees or source.bool(0.6)
            if more and source.bool(0.6):
                callconv = self._draw_convention(source, 0.4)
                ring = plan(f"%g{len(others)}", CALLEE_LIMITS, source.bool(_RECURS), callconv)
                callees.append(add(ring, callconv))
                memory = memory or callees[-1].pointer >= 0
            elif more:
                callconv = draw_convention(source, self._names, _CONVENTION)
                passed = [type_ for type_ in types if type_ not in self._unpassed(callconv)]
                name = f"%h{len(callees)}"
                callees.append(draw_outside(source, name, passed, fits, callconv))
            source.end()
            if not more:
                break
        callconv = self._draw_convention(source, 0.2)
        recurs = source.bool(_RECURS)
        partner: tuple[Callee, ...] = ()
        if recurs and source.bool(_MUTUAL):
            name = f"%g{len(others)}"
            partner = plan(name, CALLEE_LIMITS, True, self._draw_convention(source, 0.5))
            memory = memory or partner[0].pointer >= 0
        ring = (*plan("%f", self.limits, recurs, callconv), *partner)
        if partner:
            add(ring[::-1], partner[0].signature.callconv)
        limits = self.limits
        if ring:
            limits = copy(limits)
            limits.slot_bytes = min(limits.slot_bytes, CALLEE_LIMITS.slot_bytes)
        return drawn(limits, ring, callconv), others

    def _draw_convention(self, source: Source, tail: float) -> str:
        """A calling convention: with the chance ``tail`` the one whose functions may end in a call."""
        if self._tails and source.bool(tail):
            return TAIL
        return draw_convention(source, self._names, _CONVENTION)

    def _unpassed(self, callconv: str) -> frozenset[Type]:
        """The types of which there are no parameters and results."""
        return self._conventions.get(callconv, frozenset())

    def _draw_options(self, source: Source) -> dict[str, OptionValue]:
        drawn = dict(self._fixed)
        source.start(HEADER)
        if source.bool(_LEVEL):
            drawn |= self._levels[source.int(0, len(self._levels) - 1)]
        if self._options and source.bool(_STRESS):
            for option in self._options:
                if source.bool(0.4):
                    value = option.values[source.int(0, len(option.values) - 1)]
                    if value != option.default:
                        drawn[option.name] = value
                    else:
                        drawn.pop(option.name, None)
        if self._features and source.bool(_FEATURES):
            for option in self._features:
                value = option.values[source.int(0, len(option.values) - 1)]
                if value != option.default:
                    drawn[option.name] = value
        source.end()
        return drawn

    def _draw_inputs(self, source: Source, function: Function, pointer: int) -> list[Input]:
        types = [param.type for param in function.signature.params]
        inputs: list[Input] = []
        for _ in range(self.limits.inputs):
            source.start(INPUT)
            more = not inputs or source.bool(0.99)
            if more:
                inputs.append(tuple([
                    DATA_BASE if i == pointer else draw_bits(source, type_)
                    for i, type_ in enumerate(types)
                ]))  # fmt: skip
            source.end()
            if not more or not types:
                break
        return inputs

    def from_seed(self, seed: int) -> Case:
        """The case of a seed, with the choices it was made from."""
        source = RecordingSource(seed)
        case = self.draw(source)
        case.choices = tuple(source.choices)
        return case

    def from_choices(self, choices: tuple[Choice, ...]) -> Case:
        """The case that recorded choices make."""
        return self.draw(ReplaySource(choices))

    def strategy(self) -> SearchStrategy[Case]:
        """The same cases for ``@given``."""
        from hypothesis.strategies._internal.strategies import SearchStrategy

        generator = self

        class CaseStrategy(SearchStrategy[Case]):
            def do_draw(self, data: Any) -> Case:
                return generator.draw(HypothesisSource(data))

            def __repr__(self) -> str:
                return f"cases(isa={generator.isa!r})"

        return CaseStrategy()


def cases(
    target: Target,
    isa: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
    fixed: dict[str, OptionValue] | None = None,
    calls: bool = True,
) -> SearchStrategy[Case]:
    """A Hypothesis strategy of cases that ``target`` supports, for a user's own ``@given`` tests."""
    return CaseGenerator(
        target, isa or target.isas[0], limits=limits, fixed=fixed, calls=calls
    ).strategy()
