"""The caller of the function under test: arguments go in, results come out, and what was promised it is looked at.

A function gives back some registers as it got them, leaves the stack pointer where its convention says, and does not
write to the stack above its arguments. All of this was filled with random bits before, so that keeping a promise by
chance is out of the question.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Sequence
from operator import and_, itemgetter
from typing import Any, Final

from backend.ir.entities import AbiParam, Signature
from fuzzer.case import Input, byte_order_of
from fuzzer.execute import layout
from fuzzer.execute.conventions import WORD, Convention
from fuzzer.execute.machines import Machine
from fuzzer.execute.passing import Passing, Piece
from fuzzer.execute.registers import Batch
from fuzzer.execute.relocate import ExecutorLimit

EXTENDED_RESULT: Final = "register of result"
"""How the broken promise of an extended result begins."""

_SP_AT: Final = 16
"""Where SP is in what is read of the registers."""
_CALLER_AT: Final = layout.STACK_SIZE - layout.CALLER_FRAME
"""Where the caller's frame begins in the stack."""


class Exchange:
    """What passes between the function under test and its caller by a convention: registers to write and to read, and
    the caller's stack.

    ``arguments``: the integer registers of arguments; ``out``: PC, SP, what is saved, results, flags, float results;
    ``checked``: the bytes of it that must be ``expected``, by poison; ``results``, ``floats``: the first word of each
    kind of results in it, ``flags``: that of the flags, 0 if they don't matter. ``stacks``: the stack at the call and
    ``fills``: random words, by poison.
    """

    __slots__ = ("arguments", "checked", "convention", "expected", "fills", "flags", "floats", "handle", "lib",
                 "machine", "order", "out", "results", "stack", "stacks")  # fmt: skip

    def __init__(
        self, lib: Any, handle: Any, machine: Machine, convention: Convention,
        stack: mmap.mmap, stacks: list[bytes], fills: list[list[int]],
    ) -> None:  # fmt: skip
        self.lib = lib
        self.handle = handle
        self.machine = machine
        self.convention = convention
        self.stack = stack
        self.stacks = stacks
        self.fills = fills
        self.order = byte_order_of(machine.name)
        self.arguments = Batch(convention.arguments)
        kept = [machine.pc, machine.sp, *(saved.id for saved in convention.saved)]
        flags = [machine.flags] if machine.flags_clear else []
        results = [*convention.results, *flags]
        self.out = Batch([*kept, *results, *convention.float_results])
        self.checked = self.out.bytes[: 16 * len(kept)]
        self.results = 2 * len(kept)
        self.flags = 2 * (len(kept) + len(convention.results)) if flags else 0
        self.floats = 2 * (len(kept) + len(results))
        self.expected: list[bytes] = []


class Caller:
    """The caller of a function of one signature.

    ``out_count``: how many of the exchange's registers are read after a run: float results only where there are any;
    ``area``: the address of the area for results that fit in no register, or 0.
    """

    __slots__ = ("_batch", "_canaries", "_canary_from", "_extended", "_floats", "_given_back", "_in_area",
                 "_masks", "_moved", "_parameters", "_parts", "_pieces", "_promised", "_used", "_words", "area",
                 "exchange", "out_count", "signature")  # fmt: skip

    def __init__(self, signature: Signature, placed: Passing, exchange: Exchange) -> None:
        area = placed.area
        # What a function pops is its own, to the last of it, and so is a home that is above it.
        above = placed.stack + 15 & ~15 if area or placed.popped else placed.stack
        above += placed.convention.home * bool(placed.popped)
        if above + area > layout.CALLER_FRAME // 2:
            raise ExecutorLimit(
                f"{len(signature.params)} parameters, {len(signature.returns)} results"
            )
        self.exchange = exchange
        self.signature = signature
        self.area = layout.STACK_TOP + above if area else 0
        #: is the first argument given back as if it were the first result?
        self._given_back = placed.given_back
        #: arguments that are not all plain, or ()
        self._pieces: tuple[tuple[int, int, int, int, int, int], ...] = ()
        self._floats: tuple[int, ...] = ()
        #: place, bits below it and ones above it of each argument that is not alone in its register
        self._moved: tuple[tuple[int, int, int], ...] = ()
        self._batch = exchange.arguments
        self._place_arguments(placed)
        #: what takes the words of the results out of ``out``, of an i128 its two halves, and their masks
        self._words: Callable[[Any], Sequence[int]]
        self._masks: list[int] = []
        #: number among those, offset and mask of each that is in the area
        self._in_area: list[tuple[int, int, int]] = []
        #: number, place in ``out`` (``-1 - offset`` in the area) and parameter of each result promised to be extended
        self._extended: list[tuple[int, int, AbiParam]] = []
        #: for each result how many of those it is, and how many bits are below it, if that is not always 1 and 0
        self._parts: tuple[tuple[int, int], ...] = ()
        self.out_count = exchange.out.count
        self._place_results(placed)
        #: bits above each argument that are left to chance, its sign if that is extended, and, where all are plain, its
        #: place in the batch, or ``-1 - offset`` on the stack
        self._parameters: list[tuple[int, int, int]] = []
        registers = len(placed.convention.arguments)
        for number, (type_, extension, _) in enumerate(placed.params):
            # A narrow argument leaves the bits above it to chance, unless the signature extends it.
            free = 0 if extension else WORD ^ type_.mask
            sign = type_.sign if extension == "sext" else 0
            beyond = number - registers
            self._parameters.append((free, sign, 2 * number if beyond < 0 else -1 - 8 * beyond))
        self._used = min(len(self._parameters), registers)
        self._canary_from = _CALLER_AT + above + area
        self._canaries = [image[self._canary_from :] for image in exchange.stacks]
        #: what is expected, with the stack pointer that the calling convention wants
        self._promised = exchange.expected
        if placed.popped:
            self._promised = [_with_word(image, _SP_AT, layout.STACK_TOP + placed.popped)
                              for image in exchange.expected]  # fmt: skip

    def _place_arguments(self, placed: Passing) -> None:
        if placed.plain:
            return
        c = placed.convention
        ints = (*c.arguments, c.sret)
        used: list[int] = []
        floats: list[int] = []
        moved: list[tuple[int, int, int]] = []
        steps: list[tuple[int, int, int, int, int, int]] = []
        for piece in placed.args:
            at = -1
            if piece.register >= 0:
                at = 2 * len(used)
                if piece.is_float:
                    floats.append(at + 1)
                if piece.up or piece.ones:
                    moved.append((at, piece.up, piece.ones))
                used.append((c.float_arguments if piece.is_float else ints)[piece.register])
            steps.append((piece.value, piece.shift, piece.mask, at, piece.offset, piece.size))
        self._pieces, self._floats, self._batch = tuple(steps), tuple(floats), Batch(used)
        self._moved = tuple(moved)

    def _place_results(self, placed: Passing) -> None:
        exchange, returns = self.exchange, self.signature.returns
        places: list[int] = []
        floats = whole = 0
        for number, piece in enumerate(placed.results):
            at = (exchange.floats if piece.is_float else exchange.results) + 2 * piece.register
            result = returns[piece.value]
            floats += piece.is_float
            whole += not (piece.shift or piece.up)
            mask = piece.mask << piece.up
            if piece.register < 0:
                # What is read for it is nothing; then the area is.
                self._in_area.append((number, piece.offset, piece.mask))
                mask, at = 0, -1 - piece.offset
            places.append(max(at, 0))
            self._masks.append(mask)
            if result.extension and has_room_to_extend(piece, result):
                self._extended.append((piece.value, at, result))
        if len(places) > 1:
            self._words = itemgetter(*places)
        else:
            self._words = itemgetter(slice(places[0], places[0] + 1) if places else slice(0))
        if not floats:
            self.out_count -= len(placed.convention.float_results)
        if whole < len(places):
            ups = {piece.value: piece.up for piece in placed.results}
            self._parts = tuple([(1 + (result.type.bits == 128), ups[n])
                                 for n, result in enumerate(returns)])  # fmt: skip

    # ---- before a run

    def give(self, inputs: Input, poison: int) -> None:
        """Put the arguments where the calling convention wants them, and behind them the area's address, if any."""
        if self.area:
            inputs = (*inputs, self.area)
        if self._pieces:
            self._give_pieces(inputs, poison)
            return
        exchange, batch = self.exchange, self._batch
        fills, values = exchange.fills[poison], batch.values
        for value, (above, sign, at) in zip(inputs, self._parameters):  # noqa: B905  # hot
            if sign:
                value = ((value ^ sign) - sign) & WORD
            elif above:
                value |= fills[at >> 1 & 63] & above
            if at >= 0:
                values[at] = value
            else:
                place = _CALLER_AT - 1 - at
                exchange.stack[place : place + 8] = value.to_bytes(8, exchange.order)
        exchange.lib.uc_reg_write_batch(exchange.handle, batch.ids, batch.pointers, self._used)

    def _give_pieces(self, inputs: Input, poison: int) -> None:
        exchange, batch, parameters = self.exchange, self._batch, self._parameters
        fills, values = exchange.fills[poison], batch.values
        for n, (index, shift, mask, at, offset, size) in enumerate(self._pieces):
            above, sign, _ = parameters[index]
            value = inputs[index]
            if sign:
                value = (value ^ sign) - sign
            value = value >> shift & WORD
            if not sign and above:
                value |= fills[n & 63] & ~mask & WORD
            if at >= 0:
                values[at] = value
            else:
                place = _CALLER_AT + offset
                exchange.stack[place : place + size] = value.to_bytes(8, exchange.order)[:size]
        for at in self._floats:
            values[at] = fills[at & 63]
        for at, up, ones in self._moved:
            word = values[at] | ones
            values[at] = (word << up | word >> 64 - up) & WORD
        batch.write(exchange.lib, exchange.handle)

    # ---- after a return

    def taken(self) -> tuple[int, ...]:
        """The results, as unsigned bits of their types."""
        results = tuple(map(and_, self._words(self.exchange.out.values), self._masks))
        if self._in_area:
            results = self._with_area(results)
        return self._joined(results) if self._parts else results

    def broken(self, inputs: Input, poison: int) -> tuple[tuple[str, int, int], ...]:
        """The promises to the caller that were not kept: (what, expected, got)."""
        exchange = self.exchange
        out, flags = exchange.out, exchange.flags
        found: tuple[tuple[str, int, int], ...] = ()
        if (
            bytes(exchange.checked) != self._promised[poison]
            or exchange.stack[self._canary_from :] != self._canaries[poison]
            or (flags and out.values[flags] & exchange.machine.flags_clear)
        ):
            found = self._told(poison)
        if self._extended:
            found += self._not_extended()
        if self._given_back and out.values[exchange.results] != inputs[0]:
            found += (("register of sret", inputs[0], out.values[exchange.results]),)
        return found

    def _area_word(self, offset: int) -> int:
        at = self.area - layout.STACK + offset
        return int.from_bytes(self.exchange.stack[at : at + 8], self.exchange.order)

    def _with_area(self, words: tuple[int, ...]) -> tuple[int, ...]:
        """The results with those that are in the area."""
        filled = list(words)
        for number, offset, mask in self._in_area:
            filled[number] = self._area_word(offset) & mask
        return tuple(filled)

    def _joined(self, words: tuple[int, ...]) -> tuple[int, ...]:
        """Results from their parts."""
        values: list[int] = []
        at = 0
        for count, up in self._parts:
            values.append(words[at] >> up if count == 1 else words[at] | words[at + 1] << 64)
            at += count
        return tuple(values)

    def _not_extended(self) -> tuple[tuple[str, int, int], ...]:
        """Results whose register does not hold what their signature promises above their type."""
        broken = []
        for number, at, param in self._extended:
            got = self.exchange.out.values[at] if at >= 0 else self._area_word(-1 - at)
            expected = got & param.type.mask
            if param.extension == "sext":
                expected = ((expected ^ param.type.sign) - param.type.sign) & WORD
            if got != expected:
                what = f"{EXTENDED_RESULT} {number}, {param.type} {param.extension}"
                broken.append((what, expected, got))
        return tuple(broken)

    def _told(self, poison: int) -> tuple[tuple[str, int, int], ...]:
        exchange = self.exchange
        got = exchange.out.values
        expected = memoryview(self._promised[poison]).cast("Q")
        watched = [("pc", WORD), ("sp", WORD), *((s.name, s.mask) for s in exchange.convention.saved)]  # fmt: skip
        broken = []
        for i, (name, mask) in enumerate(watched):
            wanted = (expected[2 * i] | expected[2 * i + 1] << 64) & mask
            found = (got[2 * i] | got[2 * i + 1] << 64) & mask
            if wanted != found:
                broken.append((name, wanted, found))
        set_flags = got[exchange.flags] & exchange.machine.flags_clear if exchange.flags else 0
        if set_flags:
            broken.append(("flags", 0, set_flags))
        image, start = exchange.stacks[poison], self._canary_from
        now = exchange.stack[start:]
        if now != image[start:]:
            at = next(i for i in range(len(now)) if now[i] != image[start + i])
            at -= at % 8
            word = slice(at, at + 8)
            broken.append((
                f"caller's frame at sp+{start + at - _CALLER_AT}",
                int.from_bytes(image[start:][word], "little"),
                int.from_bytes(now[word], "little"),
            ))  # fmt: skip
        return tuple(broken)


def has_room_to_extend(piece: Piece, param: AbiParam) -> bool:
    """Does the signature promise what is above ``param``'s bits where ``piece`` of it is passed?"""
    return bool(param.extension) and param.type.is_int and param.type.bits <= 64 and piece.size == 8


def _with_word(image: bytes, at: int, word: int) -> bytes:
    return image[:at] + word.to_bytes(8, "little") + image[at + 8 :]
