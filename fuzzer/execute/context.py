"""The caller of a function that gets two addresses: of its arguments and of its results (``Convention.context``).

Both are in the caller's frame, the arguments from SP upward and the results behind them, so that everything else about
the call, what is kept and what may not be written, is as it is by any other convention.
"""

from __future__ import annotations

from fuzzer.case import Input
from fuzzer.execute import layout
from fuzzer.execute.caller import Caller
from fuzzer.execute.passing import Passing
from fuzzer.execute.registers import Batch


class ContextCaller(Caller):
    """A caller by way of memory."""

    __slots__ = ()

    def _place_arguments(self, placed: Passing) -> None:
        self._pieces = tuple(
            (piece.value, piece.shift, piece.mask, -1, piece.offset, piece.size)
            for piece in placed.args
        )
        self._batch = Batch(placed.convention.context)
        for n, address in enumerate((layout.STACK_TOP, self.area)):
            self._batch.values[2 * n] = address

    def give(self, inputs: Input, poison: int) -> None:
        """Put the arguments in memory, and the addresses in registers."""
        self._give_pieces(inputs, poison)
