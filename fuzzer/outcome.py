"""What a run of a function came to: returned, trapped, or out of fuel.

The reference says what *had to* happen as one of these; a run of machine code is translated into
the same terms, and then compared.

Some bits are left open by the language: the sign and payload of a NaN that arithmetic made. An outcome of the
reference says which (``open_values``, ``open_memory``), and :meth:`Returned.accepts` compares the others.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class ExternalCall(NamedTuple):
    """A call to a function from outside the case: unsigned bits of each argument, zeros where they are open.

    ``open``: the masks of open bits, one an argument, or () if none is open.
    """

    name: str
    args: tuple[int, ...]
    open: tuple[int, ...] = ()

    def accepts(self, name: str, args: tuple[int, ...]) -> bool:
        """May this call be that one, as a machine made it?"""
        return name == self.name and same(self.args, args, self.open)


_GOLDEN: Final = 0x9E37_79B9_7F4A_7C15_F39C_C060_5CED_C835


def external_result(position: int, result: int) -> int:
    """128 bits: what the ``position``-th external call of a run gives as its ``result``-th result, both from 0.

    A narrower type takes the low bits. That the bits depend on nothing but the order of calls lets an
    executor's stub give the same without knowing what it is called for.
    """
    return ((position + 1) * _GOLDEN ^ (result + 1) * (_GOLDEN >> 7)) & ((1 << 128) - 1)


def same(expected: tuple[int, ...], got: tuple[int, ...], masks: tuple[int, ...]) -> bool:
    """Are all bits alike but those that ``masks`` (one a value, or none at all) leave open?"""
    if not masks or len(got) != len(expected):
        return expected == got
    return all((e ^ g) & ~mask == 0 for e, g, mask in zip(expected, got, masks, strict=True))


class Returned:
    """The function returned ``values`` (unsigned bits of the result types) and left ``memory``.

    ``open_values``: masks of the bits that are open, one a value, or () if none is; ``open_memory``: the same for
    each byte of memory, or b"". Open bits are 0 in ``values`` and ``memory``. ``calls``: of external functions, in
    order.
    """

    __slots__ = ("calls", "memory", "open_memory", "open_values", "values")
    kind = "returned"

    def __init__(
        self,
        values: tuple[int, ...],
        memory: bytes,
        open_values: tuple[int, ...] = (),
        open_memory: bytes = b"",
        calls: tuple[ExternalCall, ...] = (),
    ) -> None:
        self.values = values
        self.memory = memory
        self.open_values = open_values
        self.open_memory = open_memory
        self.calls = calls

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Returned)
            and self.values == other.values
            and self.memory == other.memory
            and self.open_values == other.open_values
            and self.open_memory == other.open_memory
            and self.calls == other.calls
        )

    def __hash__(self) -> int:
        return hash((self.values, self.memory))

    def __repr__(self) -> str:
        return f"Returned({', '.join(f'{v:#x}' for v in self.values)})"

    def accepts(self, values: tuple[int, ...], memory: bytes) -> bool:
        """Are these the values and the memory that had to come, but for bits that are open?"""
        return same(self.values, values, self.open_values) and same_memory(self, memory)


class Trapped:
    """The function stopped with trap ``code``. ``memory`` is what the reference had written by then.

    ``at``: (block number, index of the instruction in it) that trapped, or None if unknown; of a trap in a
    function that was called, the call in the case's own function. ``open_memory`` and ``calls``: see Returned.
    """

    __slots__ = ("at", "calls", "code", "memory", "open_memory")
    kind = "trapped"

    def __init__(
        self,
        code: str,
        memory: bytes,
        at: tuple[int, int] | None = None,
        open_memory: bytes = b"",
        calls: tuple[ExternalCall, ...] = (),
    ) -> None:
        self.code = code
        self.memory = memory
        self.at = at
        self.open_memory = open_memory
        self.calls = calls

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Trapped) and self.code == other.code and self.calls == other.calls

    def __hash__(self) -> int:
        return hash(self.code)

    def __repr__(self) -> str:
        return f"Trapped({self.code})"


def same_memory(outcome: Returned | Trapped, memory: bytes) -> bool:
    """Is this the memory that had to come, but for bits that are open?"""
    return memory == outcome.memory or (
        bool(outcome.open_memory)
        and same(tuple(outcome.memory), tuple(memory), tuple(outcome.open_memory))
    )


def same_calls(
    expected: tuple[ExternalCall, ...], got: tuple[tuple[str, tuple[int, ...]], ...]
) -> bool:
    """Are these the calls that had to be made, in order, but for bits that are open?"""
    return len(expected) == len(got) and all(
        call.accepts(*made) for call, made in zip(expected, got, strict=True)
    )


class OutOfFuel:
    """The reference gave up: nothing can be said of this input."""

    __slots__ = ()
    kind = "out of fuel"

    def __repr__(self) -> str:
        return "OutOfFuel()"


Outcome = Returned | Trapped | OutOfFuel
