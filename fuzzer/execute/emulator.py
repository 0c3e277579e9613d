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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import unicorn
from unicorn.unicorn_py3 import unicorn as _raw

from backend.ir.entities import Signature
from fuzzer.case import Input
from fuzzer.execute import layout, runtime
from fuzzer.execute.caller import EXTENDED_RESULT as EXTENDED_RESULT
from fuzzer.execute.caller import Caller, Exchange
from fuzzer.execute.context import ContextCaller
from fuzzer.execute.conventions import WORD, Convention
from fuzzer.execute.machines import MACHINES, Machine
from fuzzer.execute.outside import Outside
from fuzzer.execute.passing import passing
from fuzzer.execute.registers import Batch
from fuzzer.execute.relocate import ExecutorLimit as ExecutorLimit
from fuzzer.execute.relocate import Linkage
from fuzzer.execute.unknown import LONGEST, UNKNOWN, emulator_name, unknown

POISONS: Final = 2
MAX_INSTRUCTIONS: Final = 200_000
"""Machine instructions a run may execute before it counts as endless, if no compiled run-time library takes part and
the reference does not have much to do, either."""

RETURN: Final = "return"
TRAP: Final = "trap"
FAULT: Final = "fault"
TIMEOUT: Final = "timeout"
STRAY: Final = "stray"

_POISON_SEED: Final = 0x5EED_F00D
_UPPER_SEED: Final = 0x0DDB_A115


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
        #: goes to the loaded function; Unicorn's error number
        self._enter: Callable[..., int] = self._lib.uc_emu_start
        runs = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
        runs |= unicorn.UC_PROT_WRITE if m.writable_code else 0
        uc.mem_map(layout.RETURN, layout.RETURN_SIZE, runs)
        if m.landing:
            uc.mem_write(layout.RETURN, m.landing)
        #: where PC is after a return
        self._landed = layout.RETURN + len(m.landing)
        # Private: after a fork each process has its own, or workers would overwrite each other's.
        private = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        self._stack = mmap.mmap(-1, layout.STACK_SIZE, flags=private)
        self._data = mmap.mmap(-1, layout.DATA_SIZE, flags=private)
        self._code = mmap.mmap(-1, layout.CODE_SIZE, flags=private)
        self._pins = [
            ctypes.c_char.from_buffer(area) for area in (self._stack, self._data, self._code)
        ]
        read_write = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
        stack_pointer, self._data_pointer, code = (ctypes.addressof(pin) for pin in self._pins)
        uc.mem_map_ptr(layout.CODE, layout.CODE_SIZE, runs, code)
        uc.mem_map_ptr(layout.STACK, layout.STACK_SIZE, read_write, stack_pointer)
        self._mapped = 0
        self._fault_address = -1
        uc.hook_add(unicorn.UC_HOOK_MEM_INVALID, self._on_fault)
        self._code_length = 0
        self._entry = layout.CODE
        #: the functions from outside, made when first there are any, and those of the loaded code
        self._outside: Outside | None = None
        self._called: Outside | None = None
        self._bound = MAX_INSTRUCTIONS
        self._contexts: list[Any] = []
        self._stacks: list[bytes] = []
        self._tops: list[bytes] = []
        self._fills: list[list[int]] = []
        for poison in range(POISONS):
            self._prepare_poison(random.Random(_POISON_SEED + poison))
        self._raw_contexts = [context.context for context in self._contexts]
        #: by calling convention, made when first there is a function of it
        self._exchanges: dict[str, Exchange] = {}
        self._caller = self._caller_of(Signature())

    def _on_fault(self, uc: Any, access: int, address: int, size: int, value: int, _: Any) -> bool:
        self._fault_address = address
        return False

    def _prepare_poison(self, rng: random.Random) -> None:
        m, uc = self.machine, self._uc
        for register in m.poisoned:
            uc.reg_write(register, rng.getrandbits(64))
        upper = random.Random(_UPPER_SEED + len(self._contexts))
        for register in m.vectors:
            low = uc.reg_read(register) & WORD
            uc.reg_write(register, low | upper.getrandbits(64) << 64)
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
        self._stacks.append(bytes(stack))
        self._tops.append(self._stacks[-1][-layout.STACK_RESET :])
        self._fills.append([rng.getrandbits(64) for _ in range(64)])

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
        self._bound = MAX_INSTRUCTIONS
        if linkage is not None:
            if self._outside is None:
                self._outside = Outside(self._uc, m, self._stack, self._data, self._fills)
            code = self._outside.link(code, linkage, memory_size)
            self._called = self._outside
            if self._outside.blob is not None:
                self._bound *= runtime.INSTRUCTIONS
        elif self._outside is not None:
            self._outside.clear()
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
        self._caller = self._caller_of(signature)
        if self._called is not None:
            self._called.enter(signature.callconv)

    def _map_data(self, size: int) -> None:
        if size % self.machine.page or size > layout.DATA_SIZE:
            raise ExecutorLimit(f"a data region of {size} bytes")
        if self._mapped:
            self._uc.mem_unmap(layout.DATA, self._mapped)
        if size:
            access = unicorn.UC_PROT_READ | unicorn.UC_PROT_WRITE
            self._uc.mem_map_ptr(layout.DATA, size, access, self._data_pointer)
        self._mapped = size

    def _caller_of(self, signature: Signature) -> Caller:
        try:
            placed = passing(signature, self.machine)
        except ValueError as error:
            raise ExecutorLimit(str(error)) from None
        exchange = self._exchanges.get(signature.callconv)
        if exchange is None:
            exchange = self._exchanges[signature.callconv] = self._exchange(placed.convention)
        kind = ContextCaller if placed.convention.context else Caller
        return kind(signature, placed, exchange)

    def _exchange(self, convention: Convention) -> Exchange:
        """What is written and read in a call by ``convention``, and what has to be read after the return."""
        m, uc = self.machine, self._uc
        made = Exchange(
            self._lib, self._handle, m, convention, self._stack, self._stacks, self._fills
        )
        for context in self._contexts:
            uc.context_restore(context)
            uc.reg_write(m.sp, layout.STACK_TOP)
            uc.reg_write(m.pc, self._landed)
            self._read(made.out)
            made.expected.append(bytes(made.checked))
        return made

    def run(self, inputs: Input, memory: bytes, poison: int = 0, bound: int = 0) -> Run:
        """Call the loaded function once. ``memory``: the data region's bytes before the call; ``bound``: instructions
        that it may execute, where they are more than usual.

        ExecutorLimit if it comes to an instruction that the emulator does not know.
        """
        lib, handle, stack, caller = self._lib, self._handle, self._stack, self._caller
        lib.uc_context_restore(handle, self._raw_contexts[poison])
        stack[-layout.STACK_RESET :] = self._tops[poison]
        if memory:
            self._data[: len(memory)] = memory
        if inputs or caller.area:
            caller.give(inputs, poison)
        outside = self._called
        if outside is not None:
            outside.begin(poison)
        self._fault_address = -1
        landed = self._landed
        error = self._enter(handle, self._entry, landed, 0, max(bound, self._bound))
        out = caller.exchange.out
        lib.uc_reg_read_batch(handle, out.ids, out.pointers, caller.out_count)
        pc = out.values[0]
        after = self._data[: self._mapped] if self._mapped else b""
        if error == 0 and pc == landed:
            broken = caller.broken(inputs, poison)
            run = Run(RETURN, pc - layout.CODE, 0, -1, caller.taken(), after, broken)
        else:
            if error == unicorn.UC_ERR_EXCEPTION:
                pc -= self.machine.trap_ahead
                self._refuse_unknown(pc - layout.CODE)
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

    def _refuse_unknown(self, offset: int) -> None:
        """ExecutorLimit if what stands there would run on the machine itself."""
        if self.machine.name in UNKNOWN and 0 <= offset < self._code_length:
            name = unknown(self.machine.name, self._code[offset : offset + LONGEST])
            if name:
                raise ExecutorLimit(f"{emulator_name()} does not know {name}")

    def _why_stopped(self, error: int, pc: int) -> str:
        if not layout.CODE <= pc < layout.CODE + layout.CODE_SIZE:
            return STRAY
        if error == unicorn.UC_ERR_OK:
            return TIMEOUT
        if self.machine.one_error:
            return FAULT if self._code[pc - layout.CODE] else TRAP
        if self.machine.trap_faults and self._is_trap(pc - layout.CODE):
            return TRAP
        if error in (unicorn.UC_ERR_EXCEPTION, unicorn.UC_ERR_INSN_INVALID):
            return TRAP
        return FAULT

    def _is_trap(self, at: int) -> bool:
        """Is what traps at ``at`` of the code?"""
        fill = self.machine.trap_fill
        return self._code[at : at + len(fill)] == fill


_pool: dict[str, Emulator] = {}


def emulator_for(isa: str) -> Emulator:
    """This process's engine for ``isa``, opened on first use (about 0.7 ms)."""
    found = _pool.get(isa)
    if found is None:
        found = _pool[isa] = Emulator(isa)
    return found


def replace(isa: str, engine: Emulator) -> None:
    """Let ``engine`` be this process's for ``isa`` from now on."""
    _pool[isa] = engine


@contextmanager
def instead(isa: str, engine: Emulator) -> Iterator[None]:
    """Let ``engine`` be this process's for ``isa``."""
    before = _pool.get(isa)
    _pool[isa] = engine
    try:
        yield
    finally:
        _pool.pop(isa)
        if before is not None:
            _pool[isa] = before
