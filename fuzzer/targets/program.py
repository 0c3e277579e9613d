"""Any program that speaks the process protocol, as a target: ``process:[SETTING ...] PROGRAM [ARGUMENT ...]``.

What it is called, compiles for and takes, it says itself when it is asked to ``describe`` (docs/process-protocol.md).
Settings are written as env(1) has variables. A target's name is all of that text, so that an entry of the corpus, which
names its target, can be tried again.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

from backend.ir.opcodes import OPCODES, Opcode
from backend.ir.types import Type
from fuzzer.case import OptionValue
from fuzzer.execute.machines import MACHINES
from fuzzer.targets.process import ProcessTarget
from fuzzer.targets.server import Server
from fuzzer.targets.target import Option, ProcessFailure, TargetUnavailable

_ALWAYS: Final = ("iconst", "iadd", "return")
_MAX_DESCRIPTION: Final = 1 << 20
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SETTING: Final = re.compile(r"(\w+)=(.*)", re.DOTALL)


def program(text: str) -> ProcessTarget:
    """The target that ``text`` describes. TargetUnavailable if it is not well-formed, or there is no such program, or
    that does not describe itself."""
    settings, command = _parsed(text)
    seconds = settings.get("seconds", Program.seconds)
    server = Server(command, seconds=seconds, memory=settings.get("memory", Program.memory))
    try:
        answer = server.ask("describe")
    except ProcessFailure as failure:
        raise TargetUnavailable(f"{command[0]}: asked to describe itself: {failure}") from None
    finally:
        server.stop()
    try:
        described = _described(answer, Path(command[0]).name)
    except ValueError as error:
        raise TargetUnavailable(f"{command[0]}: its description: {error}") from None
    # A target's name, ISAs and options are those of its class.
    kind = type(
        "Program",
        (Program,),
        {**settings, **described, "name": f"process:{text}", "command": command},
    )
    made: ProcessTarget = kind()
    return made


class Program(ProcessTarget):
    """``opcodes``: (opcode, type or "") of what it compiles, or with ``but`` does not; ``results``: how many a
    function may have, None for as many as there are registers."""

    opcodes: ClassVar[frozenset[tuple[str, str]]] = frozenset()
    but: ClassVar[bool] = True
    results: ClassVar[int | None] = None
    described_version: ClassVar[str] = ""

    @property
    def version(self) -> str:
        return self.described_version

    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        listed = (op.name, "") in self.opcodes or (
            type_ is not None and (op.name, type_.name) in self.opcodes
        )
        return listed != self.but

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        if self.results is not None:
            return len(types) <= self.results
        return super().fits_results(isa, types)


# -- the text of a target


def _parsed(text: str) -> tuple[dict[str, Any], list[str]]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise TargetUnavailable(f"process:{text}: {error}") from None
    settings: dict[str, Any] = {}
    while words and (match := _SETTING.fullmatch(words[0])):
        name, value = match.groups()
        read = _SETTINGS.get(name)
        if read is None:
            raise TargetUnavailable(
                f"process: there is no setting {name!r}, but {', '.join(_SETTINGS)}; a variable of the environment "
                f"is set by env: process:env {words[0]} ..."
            )
        try:
            settings["alarm" if name == "stderr" else name] = read(value)
        except (ValueError, re.error) as error:
            raise TargetUnavailable(f"process: {words[0]}: {error}") from None
        del words[0]
    if not words:
        raise TargetUnavailable("process: no program; write process:./my-compiler")
    return settings, words


def _seconds(text: str) -> float:
    if not re.fullmatch(r"\d{1,6}(\.\d{1,6})?", text) or not float(text):
        raise ValueError("a number of seconds is wanted")
    return float(text)


def _memory(text: str) -> int | None:
    if text == "none":
        return None
    match = re.fullmatch(r"(\d{1,9})([mg])", text)
    if match is None or not int(match[1]):
        raise ValueError("a size is wanted, 512m or 8g, or none")
    return int(match[1]) << {"m": 20, "g": 30}[match[2]]


def _once(text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError("yes or no is wanted")
    return text == "yes"


def _pattern(text: str) -> re.Pattern[str]:
    pattern = re.compile(text, re.MULTILINE)
    if pattern.search(""):
        raise ValueError("the pattern is in any text")
    return pattern


_SETTINGS: Final[dict[str, Callable[[str], Any]]] = {
    "seconds": _seconds,
    "memory": _memory,
    "once": _once,
    "stderr": _pattern,
}


# -- its description


def _described(answer: str, name: str) -> dict[str, Any]:
    """The attributes of the class that a description stands for; ValueError says what is wrong with it."""
    kind, *lines = answer[:_MAX_DESCRIPTION].splitlines() or [""]
    if kind != "ok":
        raise ValueError(f"it begins with {kind[:40]!r}, not with 'ok'")
    version = ""
    isas: list[str] = []
    options: dict[str, Option] = {}
    levels: dict[str, dict[str, OptionValue]] = {}
    found: dict[str, Any] = {}
    listed: set[tuple[str, str]] = set()
    lists = set()
    for line in filter(None, lines):
        word, *rest = line.split()
        match word, rest:
            case "name", [name]:
                pass
            case "version", _:
                version = " ".join(rest)
            case "isa", [_, *_]:
                isas += rest
            case "option", [option, _, *_] if _WORD.fullmatch(option):
                options[option] = Option(option, tuple(dict.fromkeys(rest[1:])), "")
            case "level", [level, *pairs] if _WORD.fullmatch(level):
                levels[level] = dict(_pair(pair, options) for pair in pairs)
            case (("only" | "but"), _):
                lists.add(word)
                listed.update(map(_form, rest))
            case "results", [count] if count.isdecimal() and 0 < int(count) < 1000:
                found["results"] = int(count)
            case _:
                raise ValueError(f"the line {line[:80]!r} is none of a description")
    if len(lists) > 1:
        raise ValueError("it has both 'only' and 'but'")
    if missing := [name for name in _ALWAYS if ((name, "") in listed) != (lists == {"only"})]:
        raise ValueError(f"every function has {' and '.join(missing)} in it: it must compile that")
    known = tuple(isa for isa in dict.fromkeys(isas) if isa in MACHINES)
    if not known:
        raise ValueError(f"it names no ISA that can be run here: {', '.join(MACHINES)}")
    return {
        **found, "isas": known, "options": tuple(options.values()), "opt_levels": levels or {"none": {}},
        "opcodes": frozenset(listed), "but": lists != {"only"}, "described_version": f"{name} {version}".strip(),
    }  # fmt: skip


def _pair(text: str, options: dict[str, Option]) -> tuple[str, OptionValue]:
    name, _, value = text.partition("=")
    if name not in options or value not in options[name].values:
        raise ValueError(f"{text[:40]!r} is no option that stands above, with a value of it")
    return name, value


def _form(text: str) -> tuple[str, str]:
    name, _, type_ = text.partition(".")
    if name not in _OPCODES or (type_ and type_ not in _TYPES):
        raise ValueError(
            f"{text[:40]!r} is neither an opcode nor one at a type, like iadd or iadd.i32"
        )
    return name, type_


_OPCODES: Final = frozenset(op.name for op in OPCODES)
_TYPES: Final = frozenset(type_.name for op in OPCODES for type_ in op.over)
