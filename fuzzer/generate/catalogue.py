"""What there is to draw for one target and ISA: a repertoire for each group of wide types.

Most functions are of integers of up to 64 bits, and draw from a repertoire that knows nothing else: half of all
functions, and all of a target that takes no wider types. The others have some of i128, f32 and f64 besides.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from itertools import groupby
from operator import itemgetter
from typing import Final

from backend.ir.opcodes import opcode_named
from backend.ir.types import I8, I64, I128, Type
from fuzzer.generate import operations
from fuzzer.generate.operations import INTEGERS, TYPES, WIDE, Repertoire, Supports

_GROUPS: Final = (0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 4, 6, 6, 7, 7)
"""Groups, each as often as it is drawn: none, i128, one type of floats, both, all."""
DRAWS: Final = len(_GROUPS)


def _needed(type_: Type) -> list[tuple[str, Type | None, Type | None]]:
    """(opcode, T, S) of what the generator's own structures make of a wide type."""
    if type_ is I128:
        return [
            ("iconcat", I64, None), ("uextend", I128, I64), ("sextend", I128, I64), ("brif", None, I128),
            ("ishl", I128, I64), ("ushr", I128, I64), ("select", I128, I8),
            *((name, I128, None)
              for name in ("iadd", "isub", "band", "bor", "bxor", "icmp", "load", "store")),
        ]  # fmt: skip
    return [
        (f"{type_.name}const", None, None), ("select", type_, I8),
        *((name, type_, None)
          for name in ("fadd", "fsub", "fneg", "fmin", "fabs", "fcmp", "load", "store")),
    ]  # fmt: skip


def undrawn(supports: Supports) -> list[str]:
    """What a target has and yet is not drawn for it, and why, a line each: it has too little of what comes with it."""
    lines = []
    for lacking, pairs in groupby(
        sorted(operations.undrawn(supports).items(), key=itemgetter(1)), itemgetter(1)
    ):
        names = ", ".join(name for name, _ in pairs)
        lines.append(f"not drawn without {', '.join(lacking)}: {names}")
    for type_ in WIDE:
        rows = [(op, t, supports(opcode_named(op), t, s)) for op, t, s in _needed(type_)]
        missing = [op if t is None else f"{op}.{t.name}" for op, t, there in rows if not there]
        if missing and 2 * len(missing) < len(rows):
            lines.append(f"not drawn without {', '.join(missing)}: {type_.name}")
    return lines


class Catalogue:
    """``groups``: the wide types that functions may have, as bits in the order of ``operations.WIDE``. ``idioms``: what
    the target looks for."""

    def __init__(
        self, supports: Supports, types: Sequence[Type] = TYPES, idioms: Sequence[str] = ()
    ) -> None:
        self._supports = supports
        self._idioms = idioms
        self._plain = self
        self._focus: Sequence[tuple[str, str]] = ()
        self._focus_group = 0
        self._repertoires: dict[int, Repertoire] = {}
        self.groups = 0
        for bit, type_ in enumerate(WIDE):
            rows = _needed(type_)
            if type_ in types and all(supports(opcode_named(op), t, s) for op, t, s in rows):
                self.groups |= 1 << bit

    def focused(self, forms: Sequence[tuple[str, str]]) -> Catalogue:
        """A catalogue whose repertoires draw ``forms`` (opcode, type) far more often, in functions that have them."""
        other = copy(self)
        other._focus = forms
        names = {type_name for _, type_name in forms}
        other._focus_group = sum(1 << bit for bit, type_ in enumerate(WIDE) if type_.name in names)
        other._repertoires = {}
        return other

    def group(self, draw: int) -> int:
        """The group that the number ``draw``, below DRAWS, stands for; without what the target does not take."""
        group = _GROUPS[draw]
        if self._focus_group and draw & 1:
            group |= self._focus_group
        return group & self.groups

    def repertoire(self, group: int) -> Repertoire:
        """What is drawn in functions of these wide types."""
        found = self._repertoires.get(group)
        if found is None:
            if self._focus:
                found = self._plain.repertoire(group).focused(self._focus)
            else:
                wide = [type_ for bit, type_ in enumerate(WIDE) if group >> bit & 1]
                found = Repertoire(self._supports, (*INTEGERS, *wide), self._idioms)
            self._repertoires[group] = found
        return found
