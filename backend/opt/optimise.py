"""The optimiser on one page: simplify, drop what is unreachable, move what is invariant, drop what is dead."""

from __future__ import annotations

from typing import Final

from backend.ir.entities import Function
from backend.opt.dead import remove_dead, remove_unreachable
from backend.opt.hoist import hoist
from backend.opt.matching import ALGEBRA, TRUTH, idioms
from backend.opt.simplify import LOOKED_FOR, NAMES, Simplifier

_PASSES: Final = ("unreachable_block", "loop_invariant", "dead_instruction", "dead_parameter")
PREFIX: Final = "opt_"
RULES: Final = tuple(PREFIX + name for name in (*NAMES, *_PASSES))
"""Everything the optimiser does, by number: each is to be seen to happen."""
REWRITES: Final = frozenset(PREFIX + rule.name for rule in (*ALGEBRA, *TRUTH))
"""Those of :data:`RULES` that are rows."""

OPCODES: Final = (*LOOKED_FOR, *(() for _ in _PASSES))
"""Names of the opcodes that each rule is about."""

IDIOMS: Final = tuple(idioms())
"""What the rows look for, as text."""


def optimise(function: Function) -> tuple[Function, set[int]]:
    """A function that does the same, and the numbers in :data:`RULES` of what was done to it.

    ``function`` is valid (:mod:`backend.ir.verifier`) and not changed; so is the result.
    """
    function = function.copy()
    hits: set[int] = set()
    Simplifier(function, hits).run()
    unreachable = remove_unreachable(function)
    moved = hoist(function)
    done = (unreachable, moved, *remove_dead(function))
    hits.update(len(NAMES) + place for place, happened in enumerate(done) if happened)
    return function, hits
