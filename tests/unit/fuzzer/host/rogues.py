"""Targets that hurt the process they run in, importable from a host."""

from __future__ import annotations

import os
import signal
import time

from backend.errors import Unsupported
from backend.machine.compiled import CompiledCode
from fuzzer.case import Case
from fuzzer.checks.reassembly import assemble
from fuzzer.targets.builtin import Builtin


def _has(case: Case, name: str) -> bool:
    return any(inst.op.name == name for inst in case.function.instructions())


class Kills(Builtin):
    """Kills its process if the function multiplies."""

    name = "kills"

    def compile(self, case: Case) -> CompiledCode:
        if _has(case, "imul"):
            os.kill(os.getpid(), signal.SIGSEGV)
        return super().compile(case)


class KillsParent(Builtin):
    """Kills its process and the process's parent: the host, since this one never runs in the host itself."""

    name = "kills_parent"
    isolated = True

    def compile(self, case: Case) -> CompiledCode:
        if _has(case, "imul"):
            os.kill(os.getppid(), signal.SIGKILL)
            os.kill(os.getpid(), signal.SIGKILL)
        return super().compile(case)


class Hangs(Builtin):
    name = "hangs"

    def compile(self, case: Case) -> CompiledCode:
        while _has(case, "imul"):
            time.sleep(1)
        return super().compile(case)


class Prints(Builtin):
    """Talks over the host's answers, if it can, and closes the handles it finds."""

    name = "prints"

    def compile(self, case: Case) -> CompiledCode:
        os.write(1, b"\x00\x00\x00\x00 nonsense")
        os.write(2, b"warning: nonsense\n")
        print("more of it", flush=True)
        return super().compile(case)


class TwoFaults(Builtin):
    """Raises for a multiplication, returns nonsense for a subtraction."""

    name = "two_faults"

    def compile(self, case: Case) -> CompiledCode:
        if _has(case, "imul"):
            raise IndexError("row 9")
        if _has(case, "isub"):
            return CompiledCode(
                "aarch64", assemble("aarch64", "mov x19, #3") + assemble("aarch64", "ret")
            )
        return super().compile(case)


class Refuses(Builtin):
    name = "refuses"

    def compile(self, case: Case) -> CompiledCode:
        raise Unsupported("never")
