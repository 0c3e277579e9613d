"""A reused Unicorn engine that runs one function many times and misses nothing it breaks.

Speed comes from never opening a second engine: between functions only the code is rewritten and its
translation dropped (``ctl_remove_cache``; without that the *old* code runs), between runs registers
come back with one ``context_restore`` and memory with slice assignments into mappings of our own.
Registers go in and out in one raw batch call each. Every run is bounded by an instruction
count, always, since switching the count on and off would drop every translation.

What counts as a return: Unicorn reports success *and* the PC is the return address. Anything else
is a trap, a fault, an exhausted count or a stray PC.

Poison: all that holds nothing at entry (dead registers, dead stack, bits of a register above a
narrow argument) is filled with random bits, from one of :data:`POISONS` seeds. A result that
depends on the seed was computed from something undefined.
"""

from __future__ import annotations

import ctypes
import mmap
import random
from typing import Any, Final

import unicorn
from unicorn.unicorn_py3 import unicorn as _raw

from backend.ir.entities import AbiParam, Signature
from fuzzer.case import Input
from fuzzer.execute import layout
from fuzzer.execute.machines import MACHINES, Machine
from fuzzer.execute.outside import Outside
from fuzzer.execute.passing import Passing, passing
from fuzzer.execute.registers import Batch
from fuzzer.execute.relocate import ExecutorLimit as ExecutorLimit
from fuzzer.execute.relocate import Linkage

POISONS: Final = 2
MAX_INSTRUCTIONS: Final = 200_000
"""Machine instructions a run may execute before it counts as endless."""

RETURN: Final = "return"
TRAP: Final = "trap"
FAULT: Final = "fault"
TIMEOUT: Final = "timeout"
STRAY: Final = "stray"

EXTENDED_RESULT: Final = "register of result"
"""How the broken promise of an extended result begins."""

_WORD: Final = (1 << 64) - 1
_POISON_SEED: Final = 0x5EED_F00D
_SP_AT: Final = 16
"""Where SP is in what is read of the registers."""


class Run:
    """What one run did.

    ``stop``: RETURN, TRAP (a trapping or undefined instruction), FAULT (a bad access), TIMEOUT or
    STRAY (it left the code for anywhere but the return address). ``offset``: PC relative to the code; ``error``:
    Unicorn's error number; ``address``: what the faulting access was to, or -1. ``values``: results as
    unsigned bits of their types (only for RETURN); ``memory``: the data region afterwards. ``frame``:
    broken promises towards the caller, as (what, expected, got), empty if all is well, and, however it stopped, those
    towards functions from outside. ``calls``: the calls of such functions in order, (name, arguments as unsigned bits).
    """

    __slots__ = ("address", "calls", "error", "frame", "memory", "offset", "stop", "values")

    def __init__(
        self,
        stop: str,
        offset: int,
        error: int,
        address: int,
        values: tuple[int, ...],
        memory: bytes,
        frame: tuple[tuple[str, int, int], ...],
        calls: tuple[tuple[str, tuple[int, ...]], ...] = (),
    ) -> None:
        self.stop = stop
        self.offset = offset
        self.error = error
        self.address = address
        self.values = values
        self.memory = memory
        self.frame = frame
        self.calls = calls


class Emulator:
    """Runs code for one ISA. Not safe for threads: one a process and ISA is what is meant."""

    def __init__(self, isa: str) -> None:
        self.machine: Machine = MACHINES[isa]
        m = self.machine
        uc: Any = _raw.Uc(m.arch, m.mode, m.cpu)
        self._uc = uc
        uc.ctl_set_tcg_buffer_size(8 << 20)
        self._lib: Any = _raw.uclib
        self._handle = uc._uch
        uc.mem_map(layout.RETURN, layout.RETURN_SIZE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        # Private: after a fork each process has its own, or workers would overwrite each other's.
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._stack = mmap.mmap(-1, layout.STACK_SIZE, flags=private)
        self._data = mmap.mmap(-1, layout.DATA_SIZE, flags=private)
        self._code = mmap.mmap(-1, layout.CODE_SIZE, flags=private)
        self._pins = [ctypes.c_char.from_buffer(m) for m in (self._stack, self._data, self._code)]
        read_write = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
        stack_pointer, self._data_pointer, code = (ctypes.addressof(pin) for pin in self._pins)
        read_execute = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
        uc.mem_map_ptr(layout.CODE, layout.CODE_SIZE, read_execute, code)
        uc.mem_map_ptr(layout.STACK, layout.STACK_SIZE, read_write, stack_pointer)
        self._mapped = 0
        self._fault_address = -1
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_fault)
        self._code_length = 0
        self._entry = layout.CODE
        #: the functions from outside, made when first there are any, and those of the loaded code
        self._outside: Outside | None = None
        self._called: Outside | None = None
        self._contexts: list[Any] = []
        self._stacks: list[bytes] = []
        self._tops: list[bytes] = []
        self._canaries: list[bytes] = []
        self._fills: list[list[int]] = []
        self._expected: list[bytes] = []
        checked = [saved.id for saved in m.saved]
        flags = [m.flags] if m.flags_clear else []
        self._out = Batch([m.pc, m.sp, *checked, *m.results, *flags, *m.float_results])
        #: how many of them are read: float results only where there are any
        self._out_count = self._out.count
        #: where the flags are among what is read, 0 if they don't matter
        self._flags_index = 2 * (2 + len(checked) + len(m.results)) if flags else 0
        self._checked_bytes = 16 * (2 + len(checked))
        self._result_index = 2 * (2 + len(checked))
        for poison in range(POISONS):
            self._prepare_poison(random.Random(_POISON_SEED + poison))
        self._in = Batch(m.arguments)
        self._canary_from = 0
        self.signature = Signature()
        self._parameters: list[tuple[int, int]] = []
        #: arguments that are not all integers in registers and slots of their own, or ()
        self._pieces: tuple[tuple[int, int, int, int, int], ...] = ()
        self._floats: tuple[int, ...] = ()
        self._batch = self._in
        #: the address of the area for results that fit in no register, or 0
        self._area = 0
        #: is the first argument given back as if it were the first result?
        self._given_back = False
        #: ``_expected``, with the stack pointer that the calling convention wants
        self._promised = self._expected
        #: place in ``_out`` and mask of each result, of an i128 its two halves
        self._results: list[tuple[int, int]] = []
        #: number among those, offset and mask of each that is in the area
        self._in_area: list[tuple[int, int, int]] = []
        #: number, place in ``_out`` (``-1 - offset`` in the area) and parameter of each result promised to be extended
        self._extended: list[tuple[int, int, AbiParam]] = []
        #: for each result how many of those it is, if one of them is an i128
        self._halves: tuple[int, ...] = ()

    def _on_fault(self, uc: Any, access: int, address: int, size: int, value: int, _: Any) -> bool:
        self._fault_address = address
        return False

    def _prepare_poison(self, rng: random.Random) -> None:
        m, uc = self.machine, self._uc
        for register in (*m.poisoned, *(saved.id for saved in m.saved)):
            uc.reg_write(register, rng.getrandbits(64))
        for register, value in m.fixed:
            uc.reg_write(register, value)
        if m.flags_free:
            kept = uc.reg_read(m.flags) & ~(m.flags_free | m.flags_clear)
            uc.reg_write(m.flags, kept | rng.getrandbits(32) & m.flags_free)
        stack = bytearray(rng.randbytes(layout.STACK_SIZE))
        if m.link >= 0:
            uc.reg_write(m.sp, layout.STACK_TOP)
            uc.reg_write(m.link, layout.RETURN)
        else:
            at = layout.STACK_SIZE - layout.CALLER_FRAME - 8
            stack[at : at + 8] = layout.RETURN.to_bytes(8, "little")
            uc.reg_write(m.sp, layout.STACK_TOP - 8)
        self._contexts.append(uc.context_save())
        uc.reg_write(m.sp, layout.STACK_TOP)
        self._stacks.append(bytes(stack))
        self._tops.append(self._stacks[-1][-layout.STACK_RESET :])
        self._fills.append([rng.getrandbits(64) for _ in range(64)])
        uc.reg_write(m.pc, layout.RETURN)
        self._read(self._out)
        self._expected.append(bytes(self._out.bytes[: self._checked_bytes]))

    def _read(self, batch: Batch) -> None:
        self._lib.uc_reg_read_batch(self._handle, batch.ids, batch.pointers, batch.count)

    def load(
        self,
        code: bytes,
        signature: Signature,
        memory_size: int = 0,
        entry: int = 0,
        linkage: Linkage | None = None,
    ) -> None:
        """Make ``code`` the function that :meth:`run` runs, called as ``signature`` says.

        ``memory_size``: bytes of the data region, a multiple of the machine's page; ``entry``: byte of
        the code that a call goes to; ``linkage``: what it refers to. ExecutorLimit if it can't be run.
        """
        m = self.machine
        self._called = None
        if linkage is not None:
            if self._outside is None:
                self._outside = Outside(self._uc, m, self._stack, self._data, self._fills)
            code = self._outside.link(code, linkage, memory_size)
            self._called = self._outside
        if len(code) > layout.CODE_SIZE - 64:
            raise ExecutorLimit(f"{len(code)} bytes of code, {layout.CODE_SIZE - 64} fit")
        end = max(len(code), self._code_length) + 64
        fill = m.trap_fill
        tail = (end - len(code)) // len(fill)
        image = code + fill * tail
        self._code[: len(image)] = image
        self._uc.ctl_remove_cache(layout.CODE, layout.CODE + end)
        self._code_length = len(code)
        self._entry = layout.CODE + entry
        self._stack[:] = self._stacks[0]
        if memory_size != self._mapped:
            self._map_data(memory_size)
        self._set_signature(signature)

    def _map_data(self, size: int) -> None:
        if size % self.machine.page or size > layout.DATA_SIZE:
            raise ExecutorLimit(f"a data region of {size} bytes")
        if self._mapped:
            self._uc.mem_unmap(layout.DATA, self._mapped)
        if size:
            access = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
            self._uc.mem_map_ptr(layout.DATA, size, access, self._data_pointer)
        self._mapped = size

    def _set_signature(self, signature: Signature) -> None:
        try:
            placed = passing(signature, self.machine)
        except ValueError as error:
            raise ExecutorLimit(str(error)) from None
        area = placed.area
        # What a function pops is its own, to the last of it.
        above = placed.stack + 15 & ~15 if area or placed.popped else placed.stack
        if above + area > layout.CALLER_FRAME // 2:
            raise ExecutorLimit(
                f"{len(signature.params)} parameters, {len(signature.returns)} results"
            )
        self._area = layout.STACK_TOP + above if area else 0
        self._given_back = placed.given_back
        self._place_arguments(signature, placed)
        self._place_results(signature, placed)
        self.signature = signature
        self._parameters = []
        for param in signature.params:
            # A narrow argument leaves the bits above it to chance, unless the signature extends it.
            free = 0 if param.extension else _WORD ^ param.type.mask
            sign = param.type.sign if param.extension == "sext" else 0
            self._parameters.append((free, sign))
        if area:
            self._parameters.append((0, 0))
        self._canary_from = layout.STACK_SIZE - layout.CALLER_FRAME + above + area
        self._canaries = [image[self._canary_from :] for image in self._stacks]
        self._promised = self._expected
        if placed.popped:
            self._promised = [_with_word(image, _SP_AT, layout.STACK_TOP + placed.popped)
                              for image in self._expected]  # fmt: skip

    def _place_arguments(self, signature: Signature, placed: Passing) -> None:
        """Prepare passing the arguments."""
        m, params = self.machine, signature.params
        self._pieces = ()
        plain = all(p.type.is_int and p.type.bits <= 64 and not p.purpose for p in params)
        if plain and not placed.area:
            return
        ints = (*m.arguments, m.sret)
        used: list[int] = []
        floats: list[int] = []
        steps: list[tuple[int, int, int, int, int]] = []
        for piece in placed.args:
            at = -1
            if piece.register >= 0:
                at = 2 * len(used)
                if piece.is_float:
                    floats.append(at + 1)
                used.append((m.float_arguments if piece.is_float else ints)[piece.register])
            steps.append((piece.value, piece.shift, piece.mask, at, piece.offset))
        self._pieces, self._floats, self._batch = tuple(steps), tuple(floats), Batch(used)

    def _place_results(self, signature: Signature, placed: Passing) -> None:
        m, returns = self.machine, signature.returns
        first = self._result_index
        first_float = 2 * (self._out.count - len(m.float_results))
        has_floats = any(piece.is_float for piece in placed.results)
        self._out_count = self._out.count - (0 if has_floats else len(m.float_results))
        self._results = []
        self._in_area = []
        self._extended = []
        for number, piece in enumerate(placed.results):
            at = (first_float if piece.is_float else first) + 2 * piece.register
            result = returns[piece.value]
            if piece.register < 0:
                # What is read for it is nothing; then the area is.
                self._in_area.append((number, piece.offset, piece.mask))
                self._results.append((0, 0))
                at = -1 - piece.offset
            else:
                self._results.append((at, piece.mask))
            if result.extension and result.type.bits <= 64:
                self._extended.append((piece.value, at, result))
        self._halves = ()
        if len(placed.results) > len(returns):
            self._halves = tuple([1 + (result.type.bits == 128) for result in returns])

    def run(self, inputs: Input, memory: bytes, poison: int = 0) -> Run:
        """Call the loaded function once. ``memory``: the data region's bytes before the call."""
        lib, handle, stack = self._lib, self._handle, self._stack
        lib.uc_context_restore(handle, self._contexts[poison].context)
        stack[-layout.STACK_RESET :] = self._tops[poison]
        if memory:
            self._data[: len(memory)] = memory
        if self._area:
            inputs = (*inputs, self._area)
        if inputs:
            self._pass(inputs, poison)
        outside = self._called
        if outside is not None:
            outside.begin(poison)
        self._fault_address = -1
        error = lib.uc_emu_start(handle, self._entry, layout.RETURN, 0, MAX_INSTRUCTIONS)
        out = self._out
        lib.uc_reg_read_batch(handle, out.ids, out.pointers, self._out_count)
        word_of = out.values
        pc = word_of[0]
        after = self._data[: self._mapped] if self._mapped else b""
        if error == 0 and pc == layout.RETURN:
            results = tuple([word_of[at] & mask for at, mask in self._results])
            if self._in_area:
                results = self._with_area(results)
            if self._halves:
                results = self._joined(results)
            frame: tuple[tuple[str, int, int], ...] = ()
            if (
                bytes(out.bytes[: self._checked_bytes]) != self._promised[poison]
                or stack[self._canary_from :] != self._canaries[poison]
                or (self._flags_index and word_of[self._flags_index] & self.machine.flags_clear)
            ):
                frame = self._broken_promises(poison)
            if self._extended:
                frame += self._not_extended()
            if self._given_back and word_of[self._result_index] != inputs[0]:
                frame += (("register of sret", inputs[0], word_of[self._result_index]),)
            if outside is not None:
                return self._with_calls(Run(RETURN, pc - layout.CODE, 0, -1, results, after, frame))
            return Run(RETURN, pc - layout.CODE, 0, -1, results, after, frame)
        run = Run(
            self._why_stopped(error, pc),
            pc - layout.CODE,
            error,
            self._fault_address,
            (),
            after,
            (),
        )
        return run if outside is None else self._with_calls(run)

    def _with_calls(self, run: Run) -> Run:
        """What the run did with functions from outside."""
        outside = self._outside
        assert outside is not None
        if outside.error is not None:
            error, outside.error = outside.error, None
            raise error
        run.calls = tuple(outside.calls)
        run.frame += tuple(outside.broken)
        return run

    def _pass(self, inputs: Input, poison: int) -> None:
        """Put the arguments where the calling convention wants them."""
        if self._pieces:
            self._pass_pieces(inputs, poison)
            return
        m, batch, fills = self.machine, self._in, self._fills[poison]
        registers = len(m.arguments)
        values = batch.values
        for i, value in enumerate(inputs):
            above, sign = self._parameters[i]
            if sign:
                value = ((value ^ sign) - sign) & _WORD
            elif above:
                value |= fills[i & 63] & above
            if i < registers:
                values[2 * i] = value
            else:
                at = layout.STACK_SIZE - layout.CALLER_FRAME + (i - registers) * m.stack_slot
                self._stack[at : at + m.stack_slot] = value.to_bytes(m.stack_slot, "little")
        used = min(len(inputs), registers)
        self._lib.uc_reg_write_batch(self._handle, batch.ids, batch.pointers, used)

    def _pass_pieces(self, inputs: Input, poison: int) -> None:
        batch, fills, parameters = self._batch, self._fills[poison], self._parameters
        values = batch.values
        for n, (index, shift, mask, at, offset) in enumerate(self._pieces):
            above, sign = parameters[index]
            value = inputs[index]
            if sign:
                value = (value ^ sign) - sign
            value = value >> shift & _WORD
            if not sign and above:
                value |= fills[n & 63] & ~mask & _WORD
            if at >= 0:
                values[at] = value
            else:
                place = layout.STACK_SIZE - layout.CALLER_FRAME + offset
                self._stack[place : place + 8] = value.to_bytes(8, "little")
        for at in self._floats:
            values[at] = fills[at & 63]
        self._lib.uc_reg_write_batch(self._handle, batch.ids, batch.pointers, batch.count)

    def _area_word(self, offset: int) -> int:
        at = self._area - layout.STACK + offset
        return int.from_bytes(self._stack[at : at + 8], "little")

    def _with_area(self, words: tuple[int, ...]) -> tuple[int, ...]:
        """The results with those that are in the area."""
        filled = list(words)
        for number, offset, mask in self._in_area:
            filled[number] = self._area_word(offset) & mask
        return tuple(filled)

    def _joined(self, words: tuple[int, ...]) -> tuple[int, ...]:
        """Results from their halves."""
        values: list[int] = []
        at = 0
        for count in self._halves:
            values.append(words[at] if count == 1 else words[at] | words[at + 1] << 64)
            at += count
        return tuple(values)

    @staticmethod
    def _why_stopped(error: int, pc: int) -> str:
        if not layout.CODE <= pc < layout.CODE + layout.CODE_SIZE:
            return STRAY
        if error == unicorn.UC_ERR_OK:
            return TIMEOUT
        if error in (unicorn.UC_ERR_EXCEPTION, unicorn.UC_ERR_INSN_INVALID):
            return TRAP
        return FAULT

    def _not_extended(self) -> tuple[tuple[str, int, int], ...]:
        """Results whose register does not hold what their signature promises above their type."""
        broken = []
        for number, at, param in self._extended:
            got = self._out.values[at] if at >= 0 else self._area_word(-1 - at)
            expected = got & param.type.mask
            if param.extension == "sext":
                expected = ((expected ^ param.type.sign) - param.type.sign) & _WORD
            if got != expected:
                what = f"{EXTENDED_RESULT} {number}, {param.type} {param.extension}"
                broken.append((what, expected, got))
        return tuple(broken)

    def _broken_promises(self, poison: int) -> tuple[tuple[str, int, int], ...]:
        names = ["pc", "sp", *(saved.name for saved in self.machine.saved)]
        masks = [_WORD, _WORD, *(saved.mask for saved in self.machine.saved)]
        expected = memoryview(self._promised[poison]).cast("Q")
        got = self._out.values
        broken = [
            (name, expected[2 * i] & mask, got[2 * i] & mask)
            for i, (name, mask) in enumerate(zip(names, masks, strict=True))
            if (expected[2 * i] ^ got[2 * i]) & mask
        ]
        set_flags = got[self._flags_index] & self.machine.flags_clear if self._flags_index else 0
        if set_flags:
            broken.append(("flags", 0, set_flags))
        image, start = self._stacks[poison], self._canary_from
        now = self._stack[start:]
        if now != image[start:]:
            at = next(i for i in range(len(now)) if now[i] != image[start + i])
            at -= at % 8
            word = slice(at, at + 8)
            broken.append((
                f"caller's frame at sp+{start + at - (layout.STACK_SIZE - layout.CALLER_FRAME)}",
                int.from_bytes(image[start:][word], "little"),
                int.from_bytes(now[word], "little"),
            ))  # fmt: skip
        return tuple(broken)


def _with_word(image: bytes, at: int, word: int) -> bytes:
    return image[:at] + word.to_bytes(8, "little") + image[at + 8 :]


_pool: dict[str, Emulator] = {}


def emulator_for(isa: str) -> Emulator:
    """This process's engine for ``isa``, opened on first use (about 0.7 ms)."""
    found = _pool.get(isa)
    if found is None:
        found = _pool[isa] = Emulator(isa)
    return found
