"""The case with one thing changed at a time: what makes the finding go away points at the stage that is wrong.

Each toggle is tried in a process of its own, since any of them may kill or hang the compiler. The verdicts
are facts; what they mean is said in :mod:`fuzzer.explain.culprit`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from backend.isa import isa_named
from backend.opt.optimise import PREFIX, REWRITES
from backend.options import OPTIONS
from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.case import Case, OptionValue
from fuzzer.checks import CHECKS
from fuzzer.explain.model import Toggle
from fuzzer.selftest.patch import improvement, rule
from fuzzer.selftest.plant import planted
from fuzzer.targets import TARGETS, TargetUnavailable, target_named
from fuzzer.targets.target import Target
from fuzzer.trial import run_trial

GONE: Final = "gone"
STILL: Final = "still"
OTHER: Final = "other"
UNSUPPORTED: Final = "unsupported"
"""It can't be tried: the target does not compile the case that way."""

_SECONDS: Final = 10.0
_MEMORY: Final = 4 << 30
_RULES: Final = 16
"""Rules that are tried: the first ones."""
_VALUES: Final = 3
"""Other values of an option that are tried, spread over those it has."""


@dataclass(slots=True)
class Change:
    """A thing to change. ``kind``: ``option``, ``rule``, ``isa`` or ``target``; ``name``: of it; ``target``: None for
    the one of that name; ``patch``: in force while the case is tried."""

    kind: str
    name: str
    what: str
    case: Case
    target: Target | None
    patch: Callable[[], AbstractContextManager[None]] = field(default=contextlib.nullcontext)


def changes(case: Case, target: Target, rules: list[str]) -> Iterator[Change]:
    """Everything that can be changed about the case on its target. ``rules``: names of those that fired,
    the likeliest first."""
    levels = {name for level in target.opt_levels.values() for name in level}
    for option in target.options_of(case.isa):
        now = case.options.get(option.name, option.default)
        if option.name == "disabled_rules":
            values = _groups(case.isa, rules) if not now else [option.default]
        elif now != option.default:
            values = [option.default]
        elif option.name in levels:
            # Harder optimised it is another program: that a finding is not in it says nothing.
            values = []
        else:
            others = [value for value in option.values if value != now]
            values = others[:: -(-len(others) // _VALUES)] if others else []
        for value in values:
            yield _option(case, target, option.name, value)
    if target.name == "builtin":
        hidden = [row for row in OPTIONS if row.name not in {o.name for o in target.options}]
        for row in hidden:
            for value in row.values[1:]:
                yield _option(case, target, row.name, value)
        for name in [name for name in rules if name in REWRITES or not name.startswith(PREFIX)][
            :_RULES
        ]:
            yield Change(
                "rule", name, f"without rule {name}", case, target, _without(case.isa, name)
            )
    for isa in target.isas:
        if isa != case.isa:
            other = case.copy()
            other.isa = isa
            there = {option.name for option in target.options_of(isa)}
            here = {option.name for option in target.options_of(case.isa)}
            other.options = {n: v for n, v in case.options.items() if n in there or n not in here}
            yield Change("isa", isa, f"isa={isa}", other, target)
    for name, found in TARGETS.items():
        if name != target.name and not found.argument:
            plain = case.copy()
            plain.options = {}
            yield Change("target", name, f"target {name}", plain, None)


def _option(case: Case, target: Target, name: str, value: OptionValue) -> Change:
    other = case.copy()
    other.options[name] = value
    shown = str(value).lower() if isinstance(value, bool) else str(value) or "(none)"
    return Change("option", name, f"{name}={shown}", other, target)


def _groups(isa: str, rules: list[str]) -> list[OptionValue]:
    """The groups of the rules that fired."""
    fired = {rule.group for rule in isa_named(isa).rules if rule.name in rules}
    return sorted(fired - {""})


def _without(isa: str, name: str) -> Callable[[], AbstractContextManager[None]]:
    if name in REWRITES:
        return lambda: improvement(name.removeprefix(PREFIX))
    return lambda: rule(name, isa=isa, when="False")


def try_change(change: Change, plants: list[str], check: str, key: str) -> Toggle:
    """What becomes of the finding, which broke the rule of ``check`` with ``key``."""

    thorough = check in CHECKS and CHECKS[check].costly

    def work(stage: object) -> bytes:
        target = change.target
        if target is None:
            try:
                target = target_named(change.name)
            except TargetUnavailable:
                return UNSUPPORTED.encode()
            if change.case.isa not in target.isas:
                return UNSUPPORTED.encode()
        with planted(plants), change.patch():
            trial, found = run_trial(change.case, target, thorough=thorough)
        if trial.unsupported:
            return UNSUPPORTED.encode()
        if any(violation.check == check for violation in found):
            return STILL.encode()
        return (OTHER if found else GONE).encode()

    ended = run_isolated(work, seconds=_SECONDS, memory=_MEMORY)
    if isinstance(ended, Death):
        dies = check in ("crash", "hang") or key == ended.how
        return Toggle(change.what, STILL if dies else OTHER)
    return Toggle(change.what, ended.decode())
