"""Compilers that are programs: given CLIF text over the process protocol (docs/process-protocol.md)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Final

from backend.errors import Unsupported
from backend.ir.printer import print_functions
from backend.machine.compiled import CompiledCode, Reloc
from fuzzer.case import Case
from fuzzer.execute.decode import listing
from fuzzer.targets.last_words import last_words, unchanging
from fuzzer.targets.server import Server
from fuzzer.targets.target import CompileError, ProtocolError, Target

_SHARE: Final = 3
"""A case may be compiled so many times, each within the time for the case."""
_SOON: Final = 1.0
"""Seconds after which a case that has hung before is taken to hang again, at least."""
_SLOWER: Final = 8.0
"""And so many times as long as the slowest answer has taken."""
_TRAP: Final = re.compile(r"[a-z][a-z0-9_]*")


class ProcessTarget(Target):
    """A target whose compiler is ``command``. ``seconds``: what it may take for an answer, at most;
    ``memory``: the address space that it may have, in bytes, None for no limit (a sanitizer needs much);
    ``once``: each case gets a process of its own, which is followed to its end."""

    command: Sequence[str]
    renewable = True
    canonical = False
    seconds: float = 10.0
    memory: int | None = 4 << 30
    once: bool = False
    #: standard error that makes an answer a failure
    alarm: re.Pattern[str] | None = None

    def __init__(self) -> None:
        self.server = Server(self.command, seconds=self.seconds, memory=self.memory, once=self.once)

    @property
    def version(self) -> str:
        return self._version

    @cached_property
    def _version(self) -> str:
        lines = [line.partition(" ") for line in self.server.ask("describe").splitlines()[1:]]
        return next((rest for word, _, rest in lines if word == "version"), self.name)

    def settings(self, case: Case) -> dict[str, str]:
        """The options as the compiler is told them."""
        return {name: str(value).lower() for name, value in case.options.items()}

    def clif(self, case: Case) -> str:
        """The text that the compiler is given."""
        return print_functions(case.functions)

    def renew(self) -> None:
        self.server.renew()

    def limit(self, *, seconds: float, memory: int | None = None, soon: bool = False) -> None:
        server = self.server
        server.seconds = min(self.seconds, seconds / _SHARE)
        if soon:
            server.seconds = min(server.seconds, max(_SOON, _SLOWER * server.slowest))
        if memory is not None and self.memory is not None:
            server.memory = min(self.memory, memory)

    def compile(self, case: Case) -> CompiledCode:
        options = "".join(f"option {name} {value}\n" for name, value in self.settings(case).items())
        text = self.clif(case)
        reply = self.server.ask(f"compile\nisa {case.isa}\n{options}\n{text}")
        kind, _, rest = reply.partition("\n")
        message = rest.strip()
        if self.alarm is not None and (alarm := self.alarm.search(self.server.said)):
            words = last_words(self.server.said)
            raise CompileError(f"it says: {words.text}", key=f"says {words.key or alarm[0]}")
        if kind == "ok":
            return _compiled(case, rest, text)
        if kind == "unsupported":
            raise Unsupported(message)
        if kind in ("error", "bad"):
            raise CompileError(message, key=f"{kind} {unchanging(message.partition(chr(10))[0])}")
        raise ProtocolError(f"a reply that begins with {kind[:40]!r}")


def _compiled(case: Case, reply: str, text: str) -> CompiledCode:
    """The code in the lines of an answer; ProtocolError if they are not what docs/process-protocol.md says."""
    code: bytes | None = None
    symbols: dict[str, int] = {}
    relocs: list[Reloc] = []
    traps: list[tuple[int, str]] = []
    data: list[tuple[int, int]] = []
    for line in reply.splitlines():
        try:
            match line.split(" "):
                case ["code", digits] if code is None:
                    code = bytes.fromhex(digits)
                case ["symbol", name, offset] if name not in symbols:
                    symbols[name] = int(offset)
                case ["reloc", offset, kind, name, addend]:
                    relocs.append(Reloc(int(offset), kind, name, int(addend)))
                case ["trap", offset, trap] if _TRAP.fullmatch(trap):
                    traps.append((int(offset), trap))
                case ["data", start, end]:
                    data.append((int(start), int(end)))
                case _:
                    raise ValueError
        except ValueError:
            raise ProtocolError(f"the line {line[:80]!r} is none of an answer") from None
    if not code:
        raise ProtocolError("an answer without code")
    offsets = [*symbols.values(), *(r.offset for r in relocs), *(t[0] for t in traps),
               *(start for start, _ in data), *(end - 1 for _, end in data)]  # fmt: skip
    for at in offsets:
        if not 0 <= at < len(code):
            raise ProtocolError(f"offset {at} in {len(code)} bytes of code")
    if case.others and case.function.name not in symbols:
        raise ProtocolError(f"no symbol {case.function.name} among several functions")
    made = code
    return CompiledCode(
        case.isa, made, relocs=relocs, traps=sorted(traps), data_ranges=data,
        symbols={**symbols, "entry": symbols.get(case.function.name, 0)},
        stages={
            "clif": lambda: text,
            "asm": lambda: listing(case.isa, made, data),
            "bytes": made.hex,
        },
    )  # fmt: skip
