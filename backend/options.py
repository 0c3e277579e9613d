"""The backend's options: one row each, the default first.

Most exist to make rare paths common: few registers force spilling, padding and a pretended reach force veneers,
a disabled group of rules uncovers the general rules behind it. None changes what the code computes.

Features of an ISA's processors are options too, by the names that Cranelift gives them. All are off by default, as
they are there: a file that says nothing of them means the baseline, and shrinking leads to it. An option of one ISA
has no effect on another.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from backend.errors import BackendError

Value = bool | int | str


class OptionError(BackendError):
    """An option that does not exist, or a value that it does not take."""


class OptionRow(NamedTuple):
    """``values``: what it may be, the default first. ``drawn``: does a fuzzer vary it? ``isas``: those that have it,
    () for all. ``feature``: has the processor more than the baseline?"""

    name: str
    values: tuple[Value, ...]
    doc: str
    drawn: bool = True
    isas: tuple[str, ...] = ()
    feature: bool = False


def _feature(name: str, isa: str, doc: str) -> OptionRow:
    return OptionRow(name, (False, True), doc, isas=(isa,), feature=True)


OPTIONS: Final = (
    OptionRow("opt_level", ("none", "speed"), "how hard to optimise"),
    OptionRow("check_allocation", (True, False), "run the symbolic checker on every allocation", drawn=False),
    OptionRow("registers", (0, 3, 4, 6, 10), "allocatable registers of each class; 0: all"),
    OptionRow("homes", ("int", "float", "mixed"), "class of registers that integer values live in"),
    OptionRow("branch_reach", (0, 64, 256, 2048), "pretend that short branches reach so many bytes; 0: the truth"),
    OptionRow("pad", (0, 33000), "bytes of padding behind the first block"),
    OptionRow("disabled_rules",
              ("", "immediate", "fusion", "shift", "extend", "multiply", "logic", "bitfield", "select",
               "address", "pool", "vector", "fold"),
              "a group of lowering rules to do without"),
    OptionRow("long_branches", (False, True), "leave branches in their long form", isas=("x86_64",)),
    _feature("has_sse41", "x86_64", "the processor has SSE4.1"),
    _feature("has_popcnt", "x86_64", "the processor has POPCNT"),
    _feature("has_bmi1", "x86_64", "the processor has TZCNT"),
    _feature("has_lzcnt", "x86_64", "the processor has LZCNT"),
)  # fmt: skip


def features_of(isa: str) -> tuple[str, ...]:
    """The names of an ISA's features."""
    return tuple(row.name for row in OPTIONS if row.feature and isa in row.isas)


_ROWS: Final = {row.name: row for row in OPTIONS}
_DEFAULTS: Final = tuple((row.name, row.values[0]) for row in OPTIONS)
_FEATURES: Final = {isa: features_of(isa) for row in OPTIONS for isa in row.isas}


class Options:
    """Options in force, one attribute a row of :data:`OPTIONS`."""

    __slots__ = (
        "branch_reach",
        "check_allocation",
        "disabled_rules",
        "has_bmi1",
        "has_lzcnt",
        "has_popcnt",
        "has_sse41",
        "homes",
        "long_branches",
        "opt_level",
        "pad",
        "registers",
    )

    opt_level: str
    check_allocation: bool
    registers: int
    homes: str
    branch_reach: int
    pad: int
    disabled_rules: str
    long_branches: bool
    has_sse41: bool
    has_popcnt: bool
    has_bmi1: bool
    has_lzcnt: bool

    def __init__(self) -> None:
        for name, value in _DEFAULTS:
            setattr(self, name, value)

    @classmethod
    def from_dict(cls, given: dict[str, Value]) -> Options:
        """Options that differ from the defaults, by name. OptionError with one clear line."""
        made = cls()
        for name, value in given.items():
            row = _ROWS.get(name)
            if row is None:
                raise OptionError(
                    f"no option {name!r}; there are {', '.join(r.name for r in OPTIONS)}"
                )
            if type(value) is not type(row.values[0]) or value not in row.values:
                shown = ", ".join(str(v) or "(nothing)" for v in row.values)
                raise OptionError(f"option {name} can't be {value!r}; it can be {shown}")
            setattr(made, name, value)
        return made

    def features(self, isa: str) -> tuple[str, ...]:
        """The features of ``isa`` that are on."""
        return tuple([name for name in _FEATURES.get(isa, ()) if getattr(self, name)])

    def to_dict(self) -> dict[str, Value]:
        """What differs from the defaults."""
        return {row.name: getattr(self, row.name) for row in OPTIONS
                if getattr(self, row.name) != row.values[0]}  # fmt: skip
