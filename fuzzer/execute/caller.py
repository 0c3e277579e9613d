"""The caller of the function under test: arguments go in, results come out, and what was promised it is looked at.

A function gives back some registers as it got them, leaves the stack pointer where its convention says, and does not
write to the stack above its arguments. All of this was filled with random bits before, so that keeping a promise by
chance is out of the question.
"""

from __future__ import annotations

import mmap
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
    ``checked``: bytes of it that must be ``expected``, by poison; ``results``, ``floats``: the first word of each kind
    of results in it, ``flags``: that of the flags, 0 if they don't matter. ``stacks``: the stack at the call and
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
        self.checked = 16 * len(kept)
        self.results = 2 * len(kept)
        self.flags = 2 * (len(kept) + len(convention.results)) if flags else 0
        self.floats = 2 * (len(kept) + len(results))
        self.expected: list[bytes] = []


class Caller:
    """The caller of a function of one signature.

    ``out_count``: how many of the exchange's registers are read after a run: float results only where there are any;
    ``area``: the address of the area for results that fit in no register, or 0.
    """

    __slots__ = ("_arguments", "_batch", "_canaries", "_canary_from", "_extended", "_floats", "_given_back", "_in_area",
                 "_moved", "_parameters", "_parts", "_pieces", "_promised", "_results", "area", "exchange", "out_count",
                 "signature")  # fmt: skip

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
        self._arguments = len(placed.convention.arguments)
        #: arguments that are not all integers in registers and slots of their own, or ()
        self._pieces: tuple[tuple[int, int, int, int, int, int], ...] = ()
        self._floats: tuple[int, ...] = ()
        #: place, bits below it and ones above it of each argument that is not alone in its register
        self._moved: tuple[tuple[int, int, int], ...] = ()
        self._batch = exchange.arguments
        self._place_arguments(placed)
        #: place in ``out`` and mask of each result, of an i128 its two halves
        self._results: list[tuple[int, int]] = []
        #: number among those, offset and mask of each that is in the area
        self._in_area: list[tuple[int, int, int]] = []
        #: number, place in ``out`` (``-1 - offset`` in the area) and parameter of each result promised to be extended
        self._extended: list[tuple[int, int, AbiParam]] = []
        #: for each result how many of those it is, and how many bits are below it, if that is not always 1 and 0
        self._parts: tuple[tuple[int, int], ...] = ()
        self.out_count = exchange.out.count
        self._place_results(placed)
        self._parameters: list[tuple[int, int]] = []
        for param in signature.params:
            # A narrow argument leaves the bits above it to chance, unless the signature extends it.
            free = 0 if param.extension else WORD ^ param.type.mask
            sign = param.type.sign if param.extension == "sext" else 0
            self._parameters.append((free, sign))
        if area:
            self._parameters.append((0, 0))
        self._canary_from = _CALLER_AT + above + area
        self._canaries = [image[self._canary_from :] for image in exchange.stacks]
        #: what is expected, with the stack pointer that the calling convention wants
        self._promised = exchange.expected
        if placed.popped:
            self._promised = [_with_word(image, _SP_AT, layout.STACK_TOP + placed.popped)
                              for image in exchange.expected]  # fmt: skip

    def _place_arguments(self, placed: Passing) -> None:
        c, params = placed.convention, self.signature.params
        plain = all(p.type.is_int and p.type.bits <= 64 and not p.purpose for p in params)
        if plain and not (placed.area or c.home or c.packed):
            return
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
        if not any(piece.is_float for piece in placed.results):
            self.out_count -= len(placed.convention.float_results)
        for number, piece in enumerate(placed.results):
            at = (exchange.floats if piece.is_float else exchange.results) + 2 * piece.register
            result = returns[piece.value]
            if piece.register < 0:
                # What is read for it is nothing; then the area is.
                self._in_area.append((number, piece.offset, piece.mask))
                self._results.append((0, 0))
                at = -1 - piece.offset
            else:
                self._results.append((at, piece.mask << piece.up))
            if has_room_to_extend(piece, result):
                self._extended.append((piece.value, at, result))
        ups = {piece.value: piece.up for piece in placed.results}
        parts = [(1 + (result.type.bits == 128), ups[n]) for n, result in enumerate(returns)]
        if any(part != (1, 0) for part in parts):
            self._parts = tuple(parts)

    # ---- before a run

    def give(self, inputs: Input, poison: int) -> None:
        """Put the arguments where the calling convention wants them, and behind them the area's address, if any."""
        if self.area:
            inputs = (*inputs, self.area)
        if self._pieces:
            self._give_pieces(inputs, poison)
            return
        exchange, batch, registers = self.exchange, self._batch, self._arguments
        fills, stack, values = exchange.fills[poison], exchange.stack, batch.values
        for i, value in enumerate(inputs):
            above, sign = self._parameters[i]
            if sign:
                value = ((value ^ sign) - sign) & WORD
            elif above:
                value |= fills[i & 63] & above
            if i < registers:
                values[2 * i] = value
            else:
                at = _CALLER_AT + (i - registers) * 8
                stack[at : at + 8] = value.to_bytes(8, exchange.order)
        used = min(len(inputs), registers)
        exchange.lib.uc_reg_write_batch(exchange.handle, batch.ids, batch.pointers, used)

    def _give_pieces(self, inputs: Input, poison: int) -> None:
        exchange, batch, parameters = self.exchange, self._batch, self._parameters
        fills, values = exchange.fills[poison], batch.values
        for n, (index, shift, mask, at, offset, size) in enumerate(self._pieces):
            above, sign = parameters[index]
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
        word_of = self.exchange.out.values
        results = tuple([word_of[at] & mask for at, mask in self._results])
        if self._in_area:
            results = self._with_area(results)
        return self._joined(results) if self._parts else results

    def broken(self, inputs: Input, poison: int) -> tuple[tuple[str, int, int], ...]:
        """The promises to the caller that were not kept: (what, expected, got)."""
        exchange = self.exchange
        out, flags = exchange.out, exchange.flags
        found: tuple[tuple[str, int, int], ...] = ()
        if (
            bytes(out.bytes[: exchange.checked]) != self._promised[poison]
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
        return int.from_bytes(self.exchange.stack[at : at + 8], "little")

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
