"""Which slice comes next, and what is drawn more often in it.

**Problem.** A campaign should look where it has looked least (cold opcodes, types and rules) and should not shrink the
same bug for ever, so what it does depends on what it has seen. But the same seed has to find the same, whatever the
number of workers and however often it was stopped and resumed.

**Algorithm.** Slices are grouped in *epochs* of 1, 1, 2, 4 ... 64 slices. What slices of epoch e are told (the forms to
focus on, how often each kind of violation was seen) follows from what the epochs up to e - 2 counted, and from
nothing else: so epoch e may begin when epoch e - 2 is counted, and workers hardly ever wait.

**Invariant.** A slice's order is a function of (seed, shard, slice) and the counts of finished epochs, each of which is
the sum over its slices; addition does not care who was first. Who goes on in the midst of a slice is told what its
cases so far came to, and so does what one who did all of it would do.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from fuzzer.campaign.coverage import Coverage, Form, add_counts
from fuzzer.campaign.messages import Order, Tried
from fuzzer.campaign.seeds import SLICE, case_seed

_LAG: Final = 2
_FULL: Final = 64
"""Slices of an epoch once they have grown."""
_COLD: Final = 24
"""Forms an epoch may focus on, for each ISA."""
_PICKS: Final = 4
"""Of them, those that one slice focuses on."""


def epoch_of(slice_: int) -> int:
    """The epoch a slice belongs to."""
    return slice_.bit_length() if slice_ < _FULL else 6 + slice_ // _FULL


def slices_of(epoch: int) -> range:
    """The slices of an epoch."""
    if epoch == 0:
        return range(1)
    if epoch <= 6:
        return range(1 << epoch - 1, 1 << epoch)
    return range((epoch - 6) * _FULL, (epoch - 5) * _FULL)


class Plan(msgspec.Struct):
    """What an epoch's slices are told. ``cold``: forms by ISA, coldest first."""

    cold: dict[str, list[Form]] = {}
    seen: dict[str, int] = {}


class Sums(msgspec.Struct):
    """What slices come to, coverage apart."""

    functions: int = 0
    runs: int = 0
    instructions: int = 0
    out_of_fuel: int = 0
    unsupported: dict[str, int] = {}

    def add(self, tried: Tried) -> None:
        self.functions += tried.functions
        self.runs += tried.runs
        self.instructions += tried.instructions
        self.out_of_fuel += tried.out_of_fuel
        add_counts(self.unsupported, tried.unsupported)


class Counts(msgspec.Struct):
    """All that slices come to."""

    sums: Sums = msgspec.field(default_factory=Sums)
    coverage: dict[str, Coverage] = {}
    kinds: dict[str, int] = {}

    def add(self, tried: Tried) -> None:
        self.sums.add(tried)
        for isa, coverage in tried.coverage.items():
            self.coverage.setdefault(isa, Coverage()).add(coverage)
        add_counts(self.kinds, tried.kinds)


class Rulebook:
    """What can be reached on an ISA: ``forms`` that the target supports; ``rules``: for each lowering rule, the forms
    that lead to it."""

    def __init__(self, forms: Iterable[Form], rules: Iterable[Iterable[Form]]) -> None:
        self.forms = tuple(forms)
        known = set(self.forms)
        self.rules = tuple(tuple(form for form in forms if form in known) for forms in rules)

    def cold(self, coverage: Coverage) -> list[Form]:
        """The coldest forms: those of rules that never fired, then the rarest forms and those of the rarest
        rules, alternately."""
        fired = coverage.rules
        rules = sorted(
            (number for number in range(len(self.rules)) if self.rules[number]),
            key=lambda number: (fired.get(number, 0), number),
        )
        drawn = coverage.forms
        forms = sorted(self.forms, key=lambda form: drawn.get(".".join(form), 0))
        never = [number for number in rules if not fired.get(number)]
        wanted: list[Form] = [form for number in never for form in self.rules[number]]
        for form, number in zip(forms, rules, strict=False):
            wanted += (form, *self.rules[number])
        return list(dict.fromkeys(wanted or forms))[:_COLD]


class Schedule:
    """Hands out orders and learns from what came of them."""

    def __init__(self, seed: int, shard: int, rulebooks: Mapping[str, Rulebook]) -> None:
        self._seed = seed
        self._shard = shard
        self._rulebooks = rulebooks
        #: all epochs below this one are in ``folded``
        self.epoch = 0
        self.folded = Counts()
        self.plans: dict[int, Plan] = {0: Plan(), 1: Plan()}
        #: slices of later epochs: where they got to, and what they counted
        self._reached: dict[int, int] = {}
        self._tried: dict[int, list[Tried]] = {}
        self._next = 0
        self._again: list[tuple[int, int]] = []

    def resume(
        self, epoch: int, folded: Counts, plans: dict[int, Plan], tried: Iterable[Tried]
    ) -> None:
        """Go on where a campaign stopped that had folded the epochs below ``epoch`` and counted ``tried`` since."""
        self.epoch, self.folded, self.plans = epoch, folded, plans
        self._next = slices_of(epoch).start
        known: set[int] = set()
        for report in sorted(tried, key=lambda report: (report.slice, report.start)):
            self._count(report)
            known.add(report.slice)
        for slice_ in range(self._next, max(known, default=self._next - 1) + 1):
            reached = self._reached.get(slice_, 0)
            if reached < SLICE:
                self._again.append((slice_, reached))
            self._next = slice_ + 1
        self._again.reverse()
        self._fold()

    def next(self, limit: int | None) -> Order | None:
        """The next order, none beyond ``limit`` functions; None if there is none now (see :meth:`exhausted`)."""
        if self._again:
            slice_, start = self._again[-1]
            order = self._order(slice_, start, limit)
            if order is not None:
                self._again.pop()
            return order
        order = self._order(self._next, 0, limit)
        if order is not None:
            self._next += 1
        return order

    def exhausted(self, limit: int | None) -> bool:
        """Will :meth:`next` never again give an order, whatever is counted?"""
        if limit is None:
            return False
        again = any(slice_ * SLICE + start < limit for slice_, start in self._again)
        return not again and self._next * SLICE >= limit

    def _order(self, slice_: int, start: int, limit: int | None) -> Order | None:
        stop = SLICE if limit is None else min(SLICE, limit - slice_ * SLICE)
        plan = self.plans.get(epoch_of(slice_))
        if start >= stop or plan is None:
            return None
        focus: dict[str, list[Form]] = {}
        if slice_ % 2:
            rng = random.Random(case_seed(self._seed, self._shard, slice_, SLICE))
            focus = {
                isa: rng.sample(forms, min(_PICKS, len(forms))) for isa, forms in plan.cold.items()
            }
        seen = dict(plan.seen)
        for tried in self._tried.get(slice_, ()):
            add_counts(seen, tried.kinds)
        return Order(slice_, start, stop, focus, seen)

    def add(self, tried: Tried) -> bool:
        """Learn what an order came to; True if that finished an epoch."""
        self._count(tried)
        return self._fold()

    def _count(self, tried: Tried) -> None:
        self._tried.setdefault(tried.slice, []).append(tried)
        self._reached[tried.slice] = max(self._reached.get(tried.slice, 0), tried.stop)

    def _fold(self) -> bool:
        folded = False
        while all(self._reached.get(slice_, 0) >= SLICE for slice_ in slices_of(self.epoch)):
            for slice_ in slices_of(self.epoch):
                for tried in self._tried.pop(slice_):
                    self.folded.add(tried)
                del self._reached[slice_]
            self.plans.pop(self.epoch, None)
            self.plans[self.epoch + _LAG] = Plan(
                {isa: book.cold(self.folded.coverage.get(isa, Coverage()))
                 for isa, book in self._rulebooks.items()},
                dict(self.folded.kinds),
            )  # fmt: skip
            self.epoch += 1
            folded = True
        return folded

    def counts(self) -> Counts:
        """All that was counted, in finished epochs and since."""
        total = msgspec.json.decode(msgspec.json.encode(self.folded), type=Counts)
        for reports in self._tried.values():
            for tried in reports:
                total.add(tried)
        return total
