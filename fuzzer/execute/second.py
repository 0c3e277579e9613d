"""A second executor: the code runs on qemu-user, or on the processor itself, and everything else is as it was.

What the emulator is suspected to get wrong, another has to repeat before it is called the compiler's. So that the two
differ in nothing but who executes, a second executor is an :class:`~fuzzer.execute.emulator.Emulator` that only goes to
the function elsewhere: the registers, the stack and the data region are taken out of the engine, the run is made by a
program of its own (:mod:`fuzzer.execute.harness`), and what it tells is put back. Whoever looks at results, promises
and memory then sees a run like any other. It takes a process, 30 ms, and is only asked about findings.

A function from outside ends the program at its stub: all is put back, it is answered as it always is
(:mod:`fuzzer.execute.outside`), and another program goes on behind the call. A compiled run-time library goes along
(:mod:`fuzzer.execute.runtime`).

What it can't do it says with ExecutorLimit. A data region ends within a page of the machine; a fault of the engine
behind its end, where a processor would see none, stands.

qemu-user and Unicorn have a common ancestor: their agreement is no proof, their disagreement is one of a fault.
"""

from __future__ import annotations

import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any, Final, NamedTuple

import unicorn

from backend.ir.entities import Signature
from fuzzer.execute import layout
from fuzzer.execute.emulator import Emulator, instead
from fuzzer.execute.harness import (
    CALLED,
    FINISHED,
    HARNESSES,
    MOST_STUBS,
    PADDING,
    SIGINFO,
    SIGNALED,
    Harness,
)
from fuzzer.execute.registers import Batch
from fuzzer.execute.relocate import ExecutorLimit, Linkage

SECONDS: Final = 5.0
"""What one run may take that ends in the emulator."""
ENDLESS: Final = 1.0
"""And one that does not end there; the emulator's bound takes a hundredth of it."""
_PAGE: Final = 0x1000
_WORD_SIZE: Final = 8
"""Bytes of a return address on the stack, where there is one."""
_SIGNALS: Final = {
    4: unicorn.UC_ERR_EXCEPTION,
    5: unicorn.UC_ERR_EXCEPTION,
    8: unicorn.UC_ERR_EXCEPTION,
    7: unicorn.UC_ERR_READ_UNMAPPED,
    11: unicorn.UC_ERR_READ_UNMAPPED,
}


class Second(NamedTuple):
    """Who executes. ``name``: for people, with its version; ``command``: what starts a program."""

    name: str
    command: tuple[str, ...]


@cache
def _qemu(isa: str) -> Second | None:
    harness = HARNESSES.get(isa)
    found = harness and (shutil.which(harness.program) or shutil.which(f"{harness.program}-static"))
    if not harness or not found:
        return None
    said = subprocess.run([found, "--version"], capture_output=True, text=True, timeout=SECONDS)
    version = re.search(r"\d+(\.\d+)+", said.stdout)
    name = f"{harness.program} {version[0] if version else ''}".rstrip()
    return Second(name, (found, "-cpu", harness.cpu))


@cache
def _native(isa: str) -> Second | None:
    here = {"arm64": "aarch64", "amd64": "x86_64"}.get(
        platform.machine().lower(), platform.machine()
    )
    return Second(f"this {isa} processor", ()) if here == isa and isa in HARNESSES else None


def unavailable(kind: str, isa: str) -> str:
    """Why there is none of that kind for ``isa``, and what to do."""
    if isa not in HARNESSES:
        return f"not for {isa}; there is one for {', '.join(HARNESSES)}"
    if kind == "native":
        return f"this is no {isa} processor, but {platform.machine()}"
    return f"there is no {HARNESSES[isa].program}; Debian's package qemu-user has it"


_KINDS: Final[dict[str, Callable[[str], Second | None]]] = {"qemu": _qemu, "native": _native}
KINDS: Final = ("none", *_KINDS)
"""What can be asked for."""


def second_executor(kind: str, isa: str) -> Second | None:
    """The second executor of a :data:`KINDS` for ``isa``; None if there is none here."""
    return _KINDS[kind](isa) if kind in _KINDS else None


class Elsewhere(Emulator):
    """An emulator whose code runs elsewhere."""

    def __init__(self, isa: str, second: Second) -> None:
        self._harness: Harness = HARNESSES[isa]
        self._second = second
        self._registers = Batch([id_ for id_, _ in self._harness.registers if id_ != PADDING])
        #: the emulator's numbers are this machine's, with the lowest byte first
        self._step = -1 if self._harness.order == "big" else 1
        self._image = b""
        super().__init__(isa)
        self._enter = self._go_there

    def load(
        self, code: bytes, signature: Signature, memory_size: int = 0, entry: int = 0,
        linkage: Linkage | None = None,
    ) -> None:  # fmt: skip
        super().load(code, signature, memory_size, entry, linkage)
        if self._called is not None and len(self._called.names) > MOST_STUBS:
            raise ExecutorLimit(f"more than {MOST_STUBS} functions for {self._second.name}")
        self._image = self._code[: -(-len(code) // _PAGE) * _PAGE + _PAGE]

    def _go_there(self, *start: Any) -> int:
        """What stands for ``uc_emu_start``."""
        before = self._block(), self._data[: self._mapped], self._stack[:]
        error: int = self._lib.uc_emu_start(*start)
        outside = self._called
        if outside is not None and outside.error is not None:
            return error
        ends = bool(error) or int(self._uc.reg_read(self.machine.pc)) == self._landed
        end = layout.DATA + self._mapped
        if error and end <= self._fault_address < -(-end // _PAGE) * _PAGE:
            return error
        self._put(*before)
        if outside is not None:
            outside.begin_again()
        entry, until = self._entry, monotonic() + (SECONDS if ends else ENDLESS)
        while True:
            status, told = self._start(self._program(entry), until - monotonic())
            if status is None and ends:
                raise ExecutorLimit(f"{self._second.name} takes longer than {SECONDS:g} s")
            if status is None:
                return self._stopped(self._entry, unicorn.UC_ERR_OK)
            if status == SIGNALED and len(told) == self._told(SIGINFO + self._harness.ucontext):
                return self._signaled(told)
            if status not in self._statuses() or len(told) != self._told(self._harness.size):
                raise ExecutorLimit(f"{self._second.name} ended with status {status}")
            self._put(*self._parts(told))
            if status == FINISHED or outside is None:
                return self._stopped(self._landed, unicorn.UC_ERR_OK)
            stub = layout.STUBS + layout.STUB * (status - CALLED)
            if not outside.answer(stub):
                return self._stopped(stub, unicorn.UC_ERR_OK)
            entry = self._returned()
            if entry == layout.RETURN:
                return self._stopped(self._landed, unicorn.UC_ERR_OK)
            if not layout.CODE <= entry < layout.CODE + len(self._image):
                return self._stopped(entry, unicorn.UC_ERR_FETCH_UNMAPPED)

    def _program(self, entry: int) -> bytes:
        """What goes on at ``entry`` with what is in the engine."""
        outside = self._called
        blob = outside.blob if outside is not None else None
        return self._harness.file(
            self._block(), self._image, entry, self._data[: self._mapped], self._stack[:],
            blob.segments if blob else (), len(outside.names) if outside is not None else 0,
        )  # fmt: skip

    def _statuses(self) -> Sequence[int]:
        """Those of programs that have told their registers."""
        stubs = len(self._called.names) if self._called is not None else 0
        return (FINISHED, *range(CALLED, CALLED + stubs))

    def _told(self, size: int) -> int:
        return size + self._mapped + layout.STACK_SIZE

    def _parts(self, told: bytes) -> tuple[bytes, bytes, bytes]:
        """What comes before the memory, the data region, and the stack."""
        stack = len(told) - layout.STACK_SIZE
        data = stack - self._mapped
        return told[:data], told[data:stack], told[stack:]

    def _stopped(self, pc: int, error: int) -> int:
        self._uc.reg_write(self.machine.pc, pc)
        return int(error)

    def _signaled(self, told: bytes) -> int:
        signal, pc = self._harness.stopped_at(told)
        error = int(_SIGNALS[signal])
        _, self._data[: self._mapped], self._stack[:] = self._parts(told)
        return self._stopped(
            pc + self.machine.trap_ahead * (error == unicorn.UC_ERR_EXCEPTION), error
        )

    def _returned(self) -> int:
        """Do what a stub's return instruction does, and say where it leads."""
        m, uc = self.machine, self._uc
        if m.link >= 0:
            return int(uc.reg_read(m.link))
        sp = int(uc.reg_read(m.sp))
        uc.reg_write(m.sp, sp + _WORD_SIZE)
        at = sp - layout.STACK
        return int.from_bytes(self._stack[at : at + _WORD_SIZE], "little")

    def _put(self, block: bytes, data: bytes, stack: bytes) -> None:
        self._put_block(block)
        self._data[: self._mapped] = data
        self._stack[:] = stack

    def _block(self) -> bytes:
        """The registers as the harness wants them."""
        batch = self._registers
        batch.read(self._lib, self._handle)
        words = iter(batch.bytes[16 * n : 16 * n + 16] for n in range(batch.count))
        step = self._step
        return b"".join(
            bytes(size) if id_ == PADDING else bytes(next(words)[:size])[::step]
            for id_, size in self._harness.registers
        )

    def _put_block(self, block: bytes) -> None:
        batch, at, n = self._registers, 0, 0
        for id_, size in self._harness.registers:
            if id_ != PADDING:
                batch.bytes[16 * n : 16 * n + size] = block[at : at + size][:: self._step]
                n += 1
            at += size
        batch.write(self._lib, self._handle)

    def _start(self, program: bytes, seconds: float) -> tuple[int | None, bytes]:
        """Its exit status, None if it takes longer, and what it said."""
        with tempfile.TemporaryDirectory(prefix="clifhanger-") as folder:
            path = Path(folder, "run")
            path.write_bytes(program)
            path.chmod(0o700)
            try:
                with _all_addresses():
                    ended = subprocess.run([*self._second.command, str(path)], stdin=subprocess.DEVNULL,
                                           capture_output=True, timeout=seconds, env={}, cwd=folder)  # fmt: skip
            except subprocess.TimeoutExpired:
                return None, b""
            except OSError as error:
                why = os.strerror(error.errno or 0)
                raise ExecutorLimit(f"{self._second.name} can't be started: {why}") from error
        return ended.returncode, ended.stdout


@contextmanager
def _all_addresses() -> Iterator[None]:
    """A process that is started gets as much of an address space as it may have: qemu-user wants all 4 GiB for a
    machine of 32 bits, more than a worker has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


@contextmanager
def executing_on(second: Second, isa: str) -> Iterator[None]:
    """Whoever asks for the engine of ``isa`` gets one that executes on ``second``."""
    with instead(isa, Elsewhere(isa, second)):
        yield
