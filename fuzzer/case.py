"""A case: what is tried. A function, those it calls, the inputs it runs on, the memory it sees, the options in force.

Everything a finding needs to happen again is in the case; a seed is not.

**Addresses.** A case with ``memory`` owns one data region of ``len(memory)`` bytes at
:data:`DATA_BASE`, in the reference and under the emulator alike, with nothing mapped around it. So a
pointer is an ordinary i64 input, and may flow anywhere. Stack addresses have no such fixed value and
must not reach a result, memory or a branch.
"""

from __future__ import annotations

from typing import Final, Literal

from backend.ir.entities import Function

DATA_BASE: Final = 0x2000_0000
"""Where the data region begins. Its pages: DATA_BASE up to DATA_BASE + DATA_LIMIT."""
DATA_LIMIT: Final = 0x1000
"""Largest data region, bytes."""

Input = tuple[int, ...]
"""One value a parameter of the function, as unsigned bits of its type."""

OptionValue = bool | int | str


_BIG_ENDIAN: Final = frozenset({"s390x", "mips64"})


def byte_order_of(isa: str) -> Literal["little", "big"]:
    """That of accesses to memory whose flags name none."""
    return "big" if isa in _BIG_ENDIAN else "little"


class Case:
    """One trial's material.

    ``inputs``: at least one; ``memory``: the data region's bytes before each run (b"": no region);
    ``options``: the target's options that differ from their defaults, by name; ``isa``: for whom
    it is compiled; ``choices``: the draws it was made from, if the generator made it. ``others``: functions
    that may be called by name, of names of their own; a name that is none of theirs is a function from outside.
    """

    __slots__ = ("choices", "function", "inputs", "isa", "memory", "options", "others")

    def __init__(
        self,
        function: Function,
        inputs: list[Input],
        *,
        isa: str = "aarch64",
        memory: bytes = b"",
        options: dict[str, OptionValue] | None = None,
        choices: tuple[int | bool, ...] = (),
        others: list[Function] | None = None,
    ) -> None:
        self.function = function
        self.inputs = inputs
        self.isa = isa
        self.memory = memory
        self.options: dict[str, OptionValue] = {} if options is None else options
        self.choices = choices
        self.others: list[Function] = [] if others is None else others

    @property
    def functions(self) -> list[Function]:
        """The case's own function, then the others."""
        return [self.function, *self.others]

    def instruction_count(self) -> int:
        """Instructions of all functions, constants included."""
        return sum(function.instruction_count() for function in self.functions)

    def __repr__(self) -> str:
        count = self.instruction_count()
        return f"<Case for {self.isa}: {count} instructions, {len(self.inputs)} inputs, {self.options}>"

    def copy(self) -> Case:
        """A copy whose function and inputs can be changed; without the choices."""
        return Case(
            self.function.copy(),
            list(self.inputs),
            isa=self.isa,
            memory=self.memory,
            options=dict(self.options),
            others=[function.copy() for function in self.others],
        )
