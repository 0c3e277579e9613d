"""Functions from outside the code under test, which are here: one stub each, and a hook that answers for it.

A stub is a return instruction in a region of its own. Before it runs, the hook reads the arguments from where the
calling convention puts them, records the call, puts the results where they belong, and *destroys everything that a
callee may*: caller-saved registers, flags, the stack arguments, what lies below the stack pointer. What a caller then
reads is poison, and other poison in the second run.

What a caller owes a callee is checked: an aligned stack pointer, a clear direction flag, arguments that are extended as
the signature promises. A breach is told like one of what a callee owes its caller.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from typing import Any, Final

import unicorn
from unicorn.unicorn_py3 import unicorn as _raw

from backend.ir.entities import Signature
from fuzzer.case import byte_order_of
from fuzzer.execute import layout, runtime
from fuzzer.execute.caller import has_room_to_extend
from fuzzer.execute.library import LibraryFunction, library_of
from fuzzer.execute.machines import Machine
from fuzzer.execute.passing import Piece, passing
from fuzzer.execute.registers import Batch
from fuzzer.execute.relocate import ExecutorLimit, Linkage, relocate
from fuzzer.execute.runtime import Blob
from fuzzer.execute.static_elf import EXECUTE
from fuzzer.outcome import external_result
from fuzzer.reference.memory import Memory, UndefinedBehaviour

CALL: Final = "call of "
"""How the broken promise of a call begins."""

_WORD: Final = (1 << 64) - 1
_BELOW: Final = 256
"""Bytes below the stack pointer that a call destroys."""
_STUBS: Final = layout.STUBS_SIZE // layout.STUB


class _MachineMemory(Memory):
    """The emulator's memory as a function of the library sees it: the data region and the stack."""

    def __init__(self, stack: mmap.mmap, data: mmap.mmap) -> None:
        super().__init__(b"")
        self._regions = [(layout.STACK, stack), (layout.DATA, data)]
        self.sizes = [layout.STACK_SIZE, 0]

    def _find(self, address: int, size: int) -> tuple[mmap.mmap, int]:
        for (base, region), room in zip(self._regions, self.sizes, strict=True):
            if 0 <= address - base <= room - size:
                return region, address - base
        raise UndefinedBehaviour(f"{size} bytes at {address:#x}")

    def load(self, address: int, size: int, trap: str | None) -> bytearray:
        region, at = self._find(address, size)
        return bytearray(region[at : at + size])

    def store(self, address: int, data: bytes, trap: str | None) -> None:
        region, at = self._find(address, len(data))
        region[at : at + len(data)] = data

    def mark(self, address: int, masks: bytes) -> None:
        """A machine has no open bits."""


class _Stub:
    """A function from outside: how its arguments and results are passed, and what answers for it, if not the order."""

    __slots__ = (
        "args",
        "batch",
        "context",
        "function",
        "name",
        "passing",
        "results",
        "signature",
        "stack",
        "written",
    )

    def __init__(
        self, name: str, signature: Signature, function: LibraryFunction | None, m: Machine
    ) -> None:
        self.name = name
        self.signature = signature
        self.function = function
        try:
            self.passing = passing(signature, m)
        except ValueError as error:
            raise ExecutorLimit(str(error)) from None
        placed = self.passing
        c = placed.convention
        self.args, self.results = placed.args, placed.results
        #: are the addresses of arguments and results the next that is read of the registers?
        self.context = bool(c.context)
        # By context the arguments in memory are the caller's.
        self.stack = 0 if self.context else placed.stack
        self.batch = Batch(
            [m.sp, *c.context, *_ids(self.args, (*c.arguments, c.sret), c.float_arguments)]
        )
        self.written = Batch(_ids(self.results, c.results, c.float_results))


def _ids(placed: Sequence[Piece], ints: tuple[int, ...], floats: tuple[int, ...]) -> list[int]:
    return [(floats if p.is_float else ints)[p.register] for p in placed if p.register >= 0]


class Outside:
    """The outside of one emulator. ``calls``: those of the current run; ``broken``: the promises that it broke towards
    callees; ``error``: what the hook itself failed with.
    """

    def __init__(
        self, uc: Any, machine: Machine, stack: mmap.mmap, data: mmap.mmap, fills: list[list[int]]
    ) -> None:
        self._uc = uc
        self._lib: Any = _raw.uclib
        self._handle = uc._uch
        self._machine = machine
        self._order = byte_order_of(machine.name)
        self._library = library_of(machine)
        self._stack = stack
        self._fills = fills
        self._memory = _MachineMemory(stack, data)
        self._poison = 0
        self._count = 0
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.broken: list[tuple[str, int, int]] = []
        self.error: BaseException | None = None
        self._stubs: list[_Stub] = []
        #: the compiled run-time library that the loaded code calls, and the one that is mapped
        self.blob: Blob | None = None
        self._mapped: Blob | None = None
        self._made: dict[tuple[str, Signature], _Stub] = {}
        #: what a call destroys, and what it must leave of that, by the names of the callee's convention and the entry's
        self._fates: dict[tuple[str, str], tuple[Batch, Batch]] = {}
        self._entry = ""
        access = unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC
        access |= unicorn.UC_PROT_WRITE if machine.writable_code else 0
        uc.mem_map(layout.STUBS, layout.STUBS_SIZE, access)
        uc.mem_write(layout.STUBS, machine.return_code.ljust(layout.STUB, b"\0") * _STUBS)
        end = layout.STUBS + layout.STUBS_SIZE - 1
        uc.hook_add(unicorn.UC_HOOK_CODE, self._on_stub, None, layout.STUBS, end)

    def link(self, code: bytes, linkage: Linkage, memory_size: int) -> bytes:
        """``code`` with its relocations applied. ExecutorLimit if it refers to what is nowhere."""
        self._memory.sizes[1] = memory_size
        self._stubs = []
        self.blob = None
        stubs: dict[str, int] = {}
        blob = runtime.chosen(self._machine.name)

        def address(symbol: str) -> int:
            own = linkage.symbols.get(symbol)
            if own is not None:
                return layout.CODE + own
            routine = blob.address(symbol) if blob is not None else None
            if blob is not None and routine is not None:
                self._map(blob)
                return routine
            if symbol not in stubs:
                if len(self._stubs) == _STUBS:
                    raise ExecutorLimit(f"more than {_STUBS} functions from outside")
                stubs[symbol] = layout.STUBS + layout.STUB * len(self._stubs)
                self._stubs.append(self._stub(symbol, linkage))
            return stubs[symbol]

        return relocate(code, linkage.relocs, layout.CODE, address, self._order)

    def _map(self, blob: Blob) -> None:
        """The loaded code calls routines of ``blob``, which is there from now on."""
        self.blob = blob
        if self._mapped is blob:
            return
        for segment in self._mapped.segments if self._mapped else ():
            self._uc.mem_unmap(segment.address, len(segment.data))
        for address, flags, data in blob.segments:
            access = unicorn.UC_PROT_READ
            if flags & EXECUTE:
                access |= unicorn.UC_PROT_EXEC
                access |= unicorn.UC_PROT_WRITE if self._machine.writable_code else 0
            self._uc.mem_map(address, len(data), access)
            self._uc.mem_write(address, data)
        self._mapped = blob

    def _stub(self, name: str, linkage: Linkage) -> _Stub:
        function = self._library.get(name)
        signature = linkage.signatures.get(name)
        if function is not None:
            signature = function.signature
        if signature is None:
            raise ExecutorLimit(f"{name} is not declared, or not in one way")
        found = self._made.get((name, signature))
        if found is None:
            found = self._made[name, signature] = _Stub(name, signature, function, self._machine)
        return found

    @property
    def names(self) -> list[str]:
        """The functions that the loaded code refers to."""
        return [stub.name for stub in self._stubs]

    def enter(self, callconv: str) -> None:
        """The function that is run is of this calling convention."""
        self._entry = callconv

    def clear(self) -> None:
        """The code that is loaded calls nobody."""
        self._stubs = []
        self.blob = None

    def begin(self, poison: int) -> None:
        """A run begins."""
        self.calls = []
        self.broken = []
        self.error = None
        self._poison = poison
        self._count = 0

    def begin_again(self) -> None:
        """The same run begins once more."""
        self.begin(self._poison)

    def _on_stub(self, uc: Any, address: int, size: int, _: Any) -> None:
        if not self.answer(address):
            uc.emu_stop()

    def answer(self, address: int) -> bool:
        """Do what the function at ``address`` does, all but the return; False if the run ends here."""
        number, within = divmod(address - layout.STUBS, layout.STUB)
        if within or number >= len(self._stubs):
            return False  # a stray jump, to where this code has nobody
        stub = self._stubs[number]
        try:
            self._answer(stub)
        except UndefinedBehaviour as reason:
            self.broken.append((f"{CALL}{stub.name}, which is undefined: {reason}", 0, 1))
            return False
        except BaseException as error:  # from a hook none reaches Python: the run raises it
            self.error = error
            return False
        return True

    def _answer(self, stub: _Stub) -> None:
        stub.batch.read(self._lib, self._handle)
        sp = int(stub.batch.values[0]) + (0 if self._machine.link >= 0 else 8)
        if stub.context:
            base, area = int(stub.batch.values[2]), int(stub.batch.values[4])
            args = self._arguments(stub, base)[: len(stub.signature.params)]
        else:
            args = self._arguments(stub, sp)
            area = args.pop() if stub.passing.area else 0
        self._check_entry(stub, sp)
        if stub.function is not None:
            results = stub.function.run(self._memory, args)
        else:
            position = len(self.calls)
            self.calls.append((stub.name, tuple(args)))
            results = tuple([external_result(position, i) & param.type.mask
                             for i, param in enumerate(stub.signature.returns)])  # fmt: skip
        self._destroy(stub, sp)
        self._give(stub, results, area)
        if stub.passing.given_back:
            self._uc.reg_write(stub.passing.convention.results[0], args[0])
        if stub.passing.popped:
            self._pop(sp, stub.passing.popped)
        self._count += 1

    def _arguments(self, stub: _Stub, base: int) -> list[int]:
        """Those in memory are from ``base`` on."""
        params = stub.signature.params
        args = [0] * (len(params) + bool(stub.passing.area))
        values = stub.batch.values
        register = 1
        for piece in stub.args:
            if piece.register >= 0:
                word = int(values[2 * register]) >> piece.up
                register += 1
            else:
                at = base + piece.offset - layout.STACK
                if not 0 <= at <= layout.STACK_SIZE - 8:
                    raise UndefinedBehaviour(f"stack arguments at {base:#x}")
                word = int.from_bytes(self._stack[at : at + piece.size], self._order)
            args[piece.value] |= (word & piece.mask) << piece.shift
            if piece.value == len(params):
                continue
            param = params[piece.value]
            if has_room_to_extend(piece, param):
                value = word & piece.mask
                if param.extension == "sext":
                    value = ((value ^ param.type.sign) - param.type.sign) & _WORD
                if value != word:
                    what = (
                        f"{CALL}{stub.name}, argument {piece.value}, {param.type} {param.extension}"
                    )
                    self.broken.append((what, value, word))
        return args

    def _check_entry(self, stub: _Stub, sp: int) -> None:
        m = self._machine
        if sp % m.stack_align:
            self.broken.append((f"{CALL}{stub.name}, sp", sp - sp % m.stack_align, sp))
        if m.flags_clear and (wrong := self._uc.reg_read(m.flags) & m.flags_clear):
            self.broken.append((f"{CALL}{stub.name}, flags", 0, wrong))

    def _fate(self, callconv: str) -> tuple[Batch, Batch]:
        found = self._fates.get((callconv, self._entry))
        if found is None:
            conventions = self._machine.conventions
            callee = conventions[callconv]
            kept = [*(saved.id for saved in callee.saved), *conventions[self._entry].reserved]
            found = self._fates[callconv, self._entry] = Batch(callee.destroyed), Batch(kept)
        return found

    def _destroy(self, stub: _Stub, sp: int) -> None:
        m, fills = self._machine, self._fills[self._poison]
        lost, kept = self._fate(stub.signature.callconv)
        start = 7 * self._count
        for i in range(2 * lost.count):
            lost.values[i] = fills[(start + i) & 63]
        kept.read(self._lib, self._handle)
        lost.write(self._lib, self._handle)
        kept.write(self._lib, self._handle)
        if m.flags_lost:
            flags = self._uc.reg_read(m.flags) & ~m.flags_lost
            self._uc.reg_write(m.flags, flags | fills[start & 63] & m.flags_lost)
        top = sp - layout.STACK
        self._fill(top, top + stub.stack)
        top -= 0 if m.link >= 0 else 8
        self._fill(max(0, top - _BELOW), top)

    def _fill(self, start: int, end: int) -> None:
        if 0 <= start < end <= layout.STACK_SIZE:
            words = self._fills[self._poison]
            noise = b"".join([word.to_bytes(8, "little") for word in words])
            noise *= 1 + (end - start) // len(noise)
            self._stack[start:end] = noise[: end - start]

    def _pop(self, sp: int, size: int) -> None:
        """The return that comes finds SP, and the return address if that is on the stack, ``size`` bytes higher."""
        m = self._machine
        if m.link < 0:
            sp -= 8
            at = sp - layout.STACK
            self._stack[at + size : at + size + 8] = self._stack[at : at + 8]
        self._uc.reg_write(m.sp, sp + size)

    def _give(self, stub: _Stub, results: tuple[int, ...], area: int) -> None:
        """Put the results in their registers, or from address ``area`` on; bits above a type are poison, unless the
        signature extends it."""
        fills = self._fills[self._poison]
        values = stub.written.values
        n = 0
        for piece in stub.results:
            param = stub.signature.returns[piece.value]
            value = results[piece.value]
            if param.extension == "sext":
                value = (value ^ param.type.sign) - param.type.sign
            word = value >> piece.shift & _WORD
            if not param.extension:
                word |= fills[(self._count + n) & 63] & ~piece.mask & _WORD
            if piece.register < 0:
                data = word.to_bytes(8, self._order)[: piece.size]
                self._memory.store(area + piece.offset, data, None)
                continue
            values[2 * n] = _moved(word | piece.ones, piece.up)
            values[2 * n + 1] = fills[(self._count + n + 1) & 63]
            n += 1
        stub.written.write(self._lib, self._handle)


def _moved(word: int, up: int) -> int:
    """``word`` turned so that its bit 0 is at bit ``up``."""
    return (word << up | word >> 64 - up) & _WORD
