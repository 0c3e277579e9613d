"""What a target is: somebody who compiles a case.

A target is one file here that defines a subclass and one row in :mod:`fuzzer.targets`. It compiles
and nothing else: running, judging and shrinking are the fuzzer's.

Outcomes other than code are exceptions: ``Unsupported`` (from :mod:`backend.errors`) is counted, never
a finding; :class:`CompileError` and anything else that escapes is a finding; a crash or a hang of the
process is seen by its parent.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from backend.ir.opcodes import OPCODES, Opcode
from backend.ir.types import Type
from backend.machine.compiled import CompiledCode
from backend.opt.optimise import IDIOMS
from fuzzer.case import Case, OptionValue
from fuzzer.targets.last_words import OUT_OF_MEMORY, exit_text, last_words

_CHANGING: Final = re.compile(r"'.*'|\".*\"|%\S+|\d+")


class CompileError(Exception):
    """The compiler refused valid input, or failed in a way it noticed itself."""

    def __init__(self, message: str, *, key: str = "") -> None:
        super().__init__(message)
        self.key = key or message


class TargetUnavailable(Exception):
    """A target that can't be used here; the message says what to do."""


class ProcessFailure(Exception):
    """The compiler is a process, and that did not do what it should."""


class TargetDied(ProcessFailure):
    """The compiler's process ended without an answer, or badly ``when`` it had given one. ``status``: as of
    :class:`subprocess.Popen`; ``said``: the end of its standard error; ``crowded``: it had most of the memory that it
    may have."""

    def __init__(self, status: int, said: str, *, crowded: bool = False, when: str = "") -> None:
        words = last_words(said)
        starved = crowded or any(sign in said for sign in OUT_OF_MEMORY)
        self.how = "out of memory" if starved else exit_text(status)
        self.status = status
        self.said = said
        self.when = when or "while compiling"
        #: the part that is the same each time the same bug is hit; ``vague`` if that is not much
        self.key = " ".join(filter(None, (self.how, when, "" if starved else words.key)))
        self.vague = not starved and not words.key
        super().__init__(f"{self.how} {self.when}{': ' if words.text else ''}{words.text}")


class TargetHung(ProcessFailure):
    """The compiler's process gave no answer in time."""


class ProtocolError(ProcessFailure):
    """What the compiler's process said is no answer. ``key``: the message without what changes from case to case."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.key = _CHANGING.sub("#", message)


@dataclass(frozen=True, slots=True)
class Option:
    """An option of the target. ``values[0]`` is the default, to which shrinking leads. ``isas``: those it has an
    effect on, () for all. ``feature``: does it say what the processor has? Such ones are drawn more often."""

    name: str
    values: tuple[OptionValue, ...]
    doc: str
    isas: tuple[str, ...] = ()
    feature: bool = False

    @property
    def default(self) -> OptionValue:
        return self.values[0]


class Target(ABC):
    """A compiler under test."""

    name: ClassVar[str]
    isas: ClassVar[tuple[str, ...]]
    options: ClassVar[tuple[Option, ...]] = ()
    #: the options that a filetest's opt level stands for
    opt_levels: ClassVar[dict[str, dict[str, OptionValue]]] = {"none": {}}
    #: compiles in a process of its own because it may take its process down
    isolated: ClassVar[bool] = False
    #: does it choose the encodings that an assembler chooses, where there are several?
    canonical: ClassVar[bool] = True
    #: does it make the same code of the same function each time, as the check *repeat* wants it?
    repeats: ClassVar[bool] = True
    #: does :meth:`renew` give it a process that knows nothing of earlier cases?
    renewable: ClassVar[bool] = False
    #: is what the compiler is known to get wrong left out? Not when an entry of it is tried again
    excludes: bool = True

    @property
    @abstractmethod
    def version(self) -> str:
        """Name and version of the compiler, for the journal and the entries."""

    @abstractmethod
    def supports(self, isa: str, op: Opcode, type_: Type | None, second: Type | None) -> bool:
        """May the generator draw ``op`` at T = ``type_`` and S = ``second``?"""

    def options_of(self, isa: str) -> list[Option]:
        """The options that have an effect on ``isa``."""
        return [option for option in self.options if not option.isas or isa in option.isas]

    def level_of(self, options: dict[str, OptionValue]) -> str:
        """The level of optimisation that ``options`` are; "" if they are none, or there is one only."""
        if len(self.opt_levels) < 2:
            return ""
        defaults = {option.name: option.default for option in self.options}
        return next(
            (level for level, given in self.opt_levels.items()
             if all(options.get(name, defaults.get(name)) == value for name, value in given.items())),
            "",
        )  # fmt: skip

    def conventions(self, isa: str) -> Mapping[str, frozenset[Type]]:
        """The calling conventions by which functions of a case are called, each with the types that it does not pass.
        The first is that of most functions, and of the others the earlier ones are drawn more often. ``tail`` is none
        of these: it is drawn where ``return_call`` is supported."""
        return {"": frozenset()}

    def fits_results(self, isa: str, types: Sequence[Type]) -> bool:
        """May the generator draw a function with results of these types? Here: if eight registers of each class hold
        them, of which an i128 takes two, the first of an even number."""
        ints = floats = 0
        for type_ in types:
            if type_.is_float:
                floats += 1
            elif type_.bits > 64:
                ints += 2 + (ints & 1)
            else:
                ints += 1
        return ints <= 8 and floats <= 8

    def renew(self) -> None:  # noqa: B027  # most compilers have nothing to do
        """Let the next case be compiled as if it were the first, whatever earlier ones have left behind: done before a
        finding is repeated. A compiler in this process has nothing to do."""

    def limit(  # noqa: B027  # nor here
        self, *, seconds: float, memory: int | None = None, soon: bool = False
    ) -> None:
        """How long the compiler may take over a case in wall time, and the address space in bytes, for one that is a
        process of its own. ``soon``: take what takes much longer than others have to hang. A compiler in this process
        is limited with it."""

    def prepare(self, isa: str) -> None:
        """Load what would else be loaded when functions are compiled, before many processes are forked that
        compile one each."""
        self.supports(isa, OPCODES[0], None, None)

    def rules(self, isa: str) -> list[str]:
        """Names of the lowering rules for ``isa``, in the order of ``CompiledCode.rule_hits``' numbers."""
        return []

    def rule_forms(self, isa: str) -> list[list[tuple[str, str]]]:
        """For each rule, the forms (opcode, T or ``-``) that may lead to it, for a campaign to draw more often."""
        return []

    def idioms(self, isa: str) -> Sequence[str]:
        """Expressions that the compiler looks for, to be drawn often (:mod:`fuzzer.generate.idioms`). Unless a target
        knows its own: what algebra has to say of integers, and so any optimiser."""
        return IDIOMS

    def rows(self, isa: str) -> list[str]:
        """Names of the machine instructions of ``isa``, in the order of ``CompiledCode.row_hits``' indices."""
        return []

    @abstractmethod
    def compile(self, case: Case) -> CompiledCode:
        """Compile the case's function for its ISA under its options."""
