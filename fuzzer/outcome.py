"""What a run of a function came to: returned, trapped, or out of fuel.

The reference says what *had to* happen as one of these; a run of machine code is translated into
the same terms, and then compared.
"""

from __future__ import annotations


class Returned:
    """The function returned ``values`` (unsigned bits of the result types) and left ``memory``."""

    __slots__ = ("memory", "values")
    kind = "returned"

    def __init__(self, values: tuple[int, ...], memory: bytes) -> None:
        self.values = values
        self.memory = memory

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Returned)
            and self.values == other.values
            and self.memory == other.memory
        )

    def __hash__(self) -> int:
        return hash((self.values, self.memory))

    def __repr__(self) -> str:
        return f"Returned({', '.join(f'{v:#x}' for v in self.values)})"


class Trapped:
    """The function stopped with trap ``code``. ``memory`` is what the reference had written by then.

    ``at``: (block number, index of the instruction in it) that trapped, or None if unknown.
    """

    __slots__ = ("at", "code", "memory")
    kind = "trapped"

    def __init__(self, code: str, memory: bytes, at: tuple[int, int] | None = None) -> None:
        self.code = code
        self.memory = memory
        self.at = at

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trapped) and self.code == other.code

    def __hash__(self) -> int:
        return hash(self.code)

    def __repr__(self) -> str:
        return f"Trapped({self.code})"


class OutOfFuel:
    """The reference gave up: nothing can be said of this input."""

    __slots__ = ()
    kind = "out of fuel"

    def __repr__(self) -> str:
        return "OutOfFuel()"


Outcome = Returned | Trapped | OutOfFuel
