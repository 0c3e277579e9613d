"""Compilers that misbehave, and the command line with one of them as a target.

::

    python misbehaving.py Segfault fuzz --target bad ...

Each is the builtin backend until a function multiplies; so the smallest function that shows the fault is
known, and the rest of a campaign shows that it goes on.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import random
import signal
import stat
import sys
import time
from typing import ClassVar

from backend.errors import Unsupported
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case, Input
from fuzzer.checks.reassembly import assemble
from fuzzer.execute.emulator import STRAY, Emulator, Run, replace
from fuzzer.targets import TARGETS, Row
from fuzzer.targets.builtin import Builtin


class Misbehaving(Builtin):
    """Well-behaved so far."""

    name = "bad"
    trigger: ClassVar[tuple[str, ...]] = ("imul",)

    def compile(self, case: Case) -> CompiledCode:
        names = {inst.op.name for inst in case.function.instructions()}
        if not names.isdisjoint(self.trigger):
            return self.misbehave(case)
        return super().compile(case)

    def misbehave(self, case: Case) -> CompiledCode:
        return super().compile(case)


class Raises(Misbehaving):
    def misbehave(self, case: Case) -> CompiledCode:
        raise LookupError("no register for v7")


class RaisesToo(Misbehaving):
    def misbehave(self, case: Case) -> CompiledCode:
        raise ValueError("another")


class Segfault(Misbehaving):
    def misbehave(self, case: Case) -> CompiledCode:
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError


class Exits(Misbehaving):
    def misbehave(self, case: Case) -> CompiledCode:
        os._exit(7)


class Loops(Misbehaving):
    """Without end, deaf to SIGTERM, and asleep so that tests need no machine of their own."""

    def misbehave(self, case: Case) -> CompiledCode:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        while True:
            time.sleep(1)


class Hoards(Misbehaving):
    def misbehave(self, case: Case) -> CompiledCode:
        hoard = [bytearray(8 << 20)]
        while True:
            hoard.append(bytearray(2 * len(hoard[-1])))


class Endless(Misbehaving):
    """Compiles in time to code that does not end."""

    def misbehave(self, case: Case) -> CompiledCode:
        return CompiledCode(case.isa, assemble("aarch64", "b #0"))


class Refuses(Misbehaving):
    def misbehave(self, case: Case) -> CompiledCode:
        raise Unsupported("no multiplication here")


class Weary(Misbehaving):
    """Runs in an engine that is in a bad state, until that is replaced."""

    worn = False

    def compile(self, case: Case) -> CompiledCode:
        if not self.worn:
            self.worn = True
            replace(case.isa, _Worn(case.isa))
        return super().compile(case)

    def misbehave(self, case: Case) -> CompiledCode:
        return Builtin.compile(self, case)


class _Worn(Emulator):
    """Of which every run leaves the code."""

    def run(self, inputs: Input, memory: bytes, poison: int = 0, bound: int = 0) -> Run:
        run = super().run(inputs, memory, poison, bound)
        run.stop = STRAY
        return run


class RefusesAll(Misbehaving):
    def compile(self, case: Case) -> CompiledCode:
        raise Unsupported("not today")


class TwoFaults(Misbehaving):
    """Two ways to die in one campaign."""

    trigger = ("imul", "iconst", "iadd", "return")

    def misbehave(self, case: Case) -> CompiledCode:
        names = {inst.op.name for inst in case.function.instructions()}
        if "imul" in names:
            os._exit(7)
        os.kill(os.getpid(), signal.SIGABRT)
        raise AssertionError


class Slow(Misbehaving):
    """Right, but so slow that a test can do things to it meanwhile."""

    def compile(self, case: Case) -> CompiledCode:
        time.sleep(0.02)
        return super().compile(case)


class Orphans(Misbehaving):
    """Leaves a grandchild behind that nobody knows, deaf, in a session of its own and with every pipe open; then dies.

    Whose children they were is written to ``orphans``.
    """

    def misbehave(self, case: Case) -> CompiledCode:
        if not os.fork():
            os.setsid()
            if os.fork():
                os._exit(0)
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            with open("orphans", "a") as file:
                file.write(f"{os.getpid()}\n")
            time.sleep(600)
            os._exit(0)
        os.wait()
        faulthandler.disable()
        os.kill(os.getpid(), signal.SIGSEGV)
        raise AssertionError


class Daemons(Misbehaving):
    """Right, but leaves a grandchild behind each time, which ends by itself."""

    def misbehave(self, case: Case) -> CompiledCode:
        if not os.fork():
            os.fork()
            os._exit(0)
        os.wait()
        return Builtin.compile(self, case)


class Scribbles(Misbehaving):
    """Writes nonsense to its parent before it goes."""

    def misbehave(self, case: Case) -> CompiledCode:
        for handle in range(3, 256):
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.fstat(handle).st_mode):
                    os.write(handle, b"\0\0\0\4junk")
        time.sleep(1)
        os._exit(3)


class Realtime(Misbehaving):
    """Dies of a signal that has no name."""

    def misbehave(self, case: Case) -> CompiledCode:
        os.kill(os.getpid(), signal.SIGRTMIN + 1)
        time.sleep(5)
        raise AssertionError


class Flaky(Misbehaving):
    """Gives wrong code now and then, never twice in the same way."""

    def misbehave(self, case: Case) -> CompiledCode:
        if random.Random(time.time_ns() ^ os.getpid()).random() < 0.4:
            return CompiledCode(case.isa, assemble("aarch64", "brk #1"))
        return Builtin.compile(self, case)


class Worsens(Misbehaving):
    """Fails so often that the finding is believed, then takes its process along."""

    calls = 0

    def misbehave(self, case: Case) -> CompiledCode:
        Worsens.calls += 1
        if Worsens.calls > 8:
            os._exit(9)
        raise LookupError("no register for v7")


class Hostile(Misbehaving):
    """Fails with words that a terminal or a log would obey."""

    def misbehave(self, case: Case) -> CompiledCode:
        raise LookupError("\x1b]0;owned\x07 \x1b[2J \x9b31m \r\n::error::gotcha \u202eolleh \ud800")


class Drags(Misbehaving):
    """Takes so long over each function that nothing can be waited for."""

    def compile(self, case: Case) -> CompiledCode:
        time.sleep(3)
        return super().compile(case)


if __name__ == "__main__":
    from fuzzer.campaign import autopsy
    from fuzzer.cli import main

    # Each call is a process: enough to see that it shrinks, not to the last instruction.
    autopsy._CALLS.update(crash=(60, 120), hang=(12, 40))
    TARGETS["bad"] = Row("__main__", sys.argv.pop(1), "misbehaves")
    main()
