"""A corpus kept small by what it covers.

An entry covers the forms it holds, and the lowering rules and instruction rows that fire when its target compiles it,
each for its ISA and target. Seeds are there for what they cover; open and fixed entries are there for their bug, and
stay. What is left to choose is a set cover, which the greedy algorithm approximates within ln n (Chvatal, 1979): the
entry that covers most that is new, the smaller of two equals, until nothing is new.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from fuzzer.campaign.isolated import Death, run_isolated
from fuzzer.corpus.entry import Entry
from fuzzer.targets import target_named
from fuzzer.trial import Trial, compile_case

_SECONDS = 30.0
_MEMORY = 4 << 30


@dataclass(frozen=True, slots=True)
class Covers:
    """An entry and what it covers."""

    path: Path
    entry: Entry
    features: frozenset[str]


def features_of(entry: Entry) -> frozenset[str]:
    """What an entry covers, found out in a process of its own; forms alone if its target does not compile it."""
    case = entry.case
    where = f"{entry.target}/{case.isa}/"
    found = set()
    for function in case.functions:
        types = function.value_types
        for inst in function.instructions():
            type_ = inst.type or (types[inst.args[0]] if inst.args else None)
            found.add(f"{where}form {inst.op.name}.{type_.name if type_ else '-'}.{inst.keyword}")

    def work(_: object) -> bytes:
        trial = Trial(case, target_named(entry.target), False)
        compile_case(trial)
        code = trial.code
        return msgspec.json.encode(
            [] if code is None
            else [f"rule {n}" for n in code.rule_hits] + [f"row {n}" for n in code.row_hits]
        )  # fmt: skip

    ended = run_isolated(work, seconds=_SECONDS, memory=_MEMORY)
    if not isinstance(ended, Death):
        found.update(where + name for name in msgspec.json.decode(ended, type=list[str]))
    return frozenset(found)


def redundant(entries: Iterable[Covers]) -> list[Covers]:
    """The seeds that cover nothing that the entries kept do not cover."""
    kept: set[str] = set()
    seeds: list[Covers] = []
    for covers in entries:
        if covers.entry.status == "seed":
            seeds.append(covers)
        else:
            kept |= covers.features
    while seeds:
        best = max(seeds, key=lambda c: (len(c.features - kept), -_size(c), str(c.path)))
        if not best.features - kept:
            break
        kept |= best.features
        seeds.remove(best)
    return sorted(seeds, key=lambda covers: covers.path)


def _size(covers: Covers) -> int:
    return covers.entry.case.instruction_count()
