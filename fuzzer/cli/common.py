"""What several commands share: parameter types, loading a case from any file, one-line errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NoReturn

import click

from backend.errors import ClifError
from fuzzer.case import Case, OptionValue
from fuzzer.corpus.entry import Entry, EntryError, has_header, parse_entry, read_text
from fuzzer.report.text import one_line
from fuzzer.targets import TARGETS, TargetUnavailable, family, target_named
from fuzzer.targets.target import Option, Target

if TYPE_CHECKING:
    from fuzzer.execute.second import Second


def fail(message: str, status: int = 2) -> NoReturn:
    """One clear line on stderr, and the end."""
    click.echo(f"clifhanger: {one_line(message)}", err=True)
    sys.exit(status)


class Duration(click.ParamType[float]):
    """``90``, ``60s``, ``10m``, ``2h``: seconds as a float."""

    name = "time"
    _UNITS: ClassVar = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "ms": 0.001}

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        if isinstance(value, float):
            return value
        match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,12})?)(ms|s|m|h|)", str(value))
        if match is None or not float(match[1]):
            self.fail(f"{value!r} is no duration; write 90, 60s, 10m or 2h", param, ctx)
        return float(match[1]) * self._UNITS[match[2]]


class Size(click.ParamType[int]):
    """``512m``, ``2g``: bytes."""

    name = "size"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d{1,15})([kmg]?)", str(value).lower())
        if match is None:
            self.fail(f"{value!r} is no size; write 512m or 2g", param, ctx)
        return int(match[1]) << {"": 0, "k": 10, "m": 20, "g": 30}[match[2]]


class Seed(click.ParamType[int]):
    """A number, decimal or 0x hex."""

    name = "seed"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        try:
            return value if isinstance(value, int) else int(str(value), 0) & (1 << 64) - 1
        except ValueError:
            self.fail(f"{value!r} is no seed; write a number, decimal or 0x hex", param, ctx)


class Shard(click.ParamType[tuple[int, int]]):
    """``K/N``, K from 1."""

    name = "shard"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(value))
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            self.fail(f"{value!r} is no shard; write K/N with K from 1 to N", param, ctx)
        return int(match[1]) - 1, int(match[2])


def find_target(name: str) -> Target:
    """The target, or one line and exit 2."""
    try:
        return target_named(name)
    except TargetUnavailable as error:
        fail(f"--target: {error}")


def target_of(entry: Entry, path: Path) -> Target:
    """The target that an entry is about, which compiles what it is known to get wrong, too; or one line and exit 2."""
    try:
        target = target_named(entry.target)
    except TargetUnavailable as error:
        fail(f"{path}: {error}")
    target.excludes = False
    return target


SECOND_KINDS: Final = ("none", "qemu", "native")
RUNTIME_KINDS: Final = ("executor", "blob")


def second_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--second`` and ``--run-natively``, for :func:`find_second`."""
    return click.option(
        "--second",
        type=click.Choice(SECOND_KINDS),
        help="Who else executes: qemu-user, or this processor.",
    )(
        click.option(
            "--run-natively",
            "natively",
            is_flag=True,
            help="Yes, let this processor run compiled code.",
        )(command)
    )


def find_second(kind: str | None, natively: bool, isa: str) -> Second | None:
    """The second executor of that kind for ``isa``, None if none was asked for; or one line and exit 2."""
    if natively and kind != "native":
        fail("--run-natively: it goes with --second native")
    if kind == "native" and not natively:
        fail(
            "--second native: compiled code would run on this processor; add --run-natively if that is what you want"
        )
    if kind in (None, "none"):
        return None
    from fuzzer.execute.second import second_executor, unavailable

    found = second_executor(kind, isa)
    if found is None:
        fail(f"--second {kind}: {unavailable(kind, isa)}")
    return found


def runtime_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--runtime``, for :func:`find_runtime`."""
    return click.option(
        "--runtime",
        type=click.Choice(RUNTIME_KINDS),
        default=RUNTIME_KINDS[0],
        show_default=True,
        help="Who answers calls of the run-time library: the executor, or a compiled one.",
    )(command)


def find_runtime(kind: str, isa: str) -> str:
    """``kind``, if it is here for ``isa``; or one line and exit 2."""
    if kind != RUNTIME_KINDS[0]:
        from fuzzer.execute.runtime import blob_of, unavailable

        if blob_of(isa) is None:
            fail(f"--runtime {kind}: {unavailable(isa)}")
    return kind


def find_isas(target: Target, names: str | None) -> tuple[str, ...]:
    """The ISAs of a comma-separated option, each one that the target has."""
    if not names:
        return target.isas[:1]
    isas = tuple(dict.fromkeys(name.strip() for name in names.split(",")))
    for isa in isas:
        if isa not in target.isas:
            fail(f"--isa: {target.name} has no ISA {isa!r}; it has {', '.join(target.isas)}")
    return isas


def find_options(
    target: Target, pairs: tuple[str, ...], isas: Sequence[str]
) -> dict[str, OptionValue]:
    """``--opt name=value`` checked against the target's table: of the options that one of ``isas`` has."""
    options: dict[str, OptionValue] = {}
    known: dict[str, list[Option]] = {}
    for option in dict.fromkeys(option for isa in isas for option in target.options_of(isa)):
        known.setdefault(option.name, []).append(option)
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if name not in known or not equals:
            fail(
                f"--opt: {pair!r}; {target.name} takes "
                + (", ".join(f"{o.name}={_text(o.default)}" for o, *_ in known.values()) or "none")
            )
        values = {_text(value): value for option in known[name] for value in option.values}
        default = known[name][0].default
        if text in values:
            options[name] = values[text]
        elif isinstance(default, int) and not isinstance(default, bool) and text.isdecimal():
            options[name] = int(text)
        else:
            fail(f"--opt: {name} takes {', '.join(values)}, not {text!r}")
    return options


def _text(value: OptionValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def load(path: Path) -> Entry:
    """The entry in a file, or one line and exit 2."""
    try:
        return parse_entry(read_text(path), str(path))
    except EntryError as error:
        fail(str(error))


def load_case(path: Path, isa: str) -> Case:
    """The first function of any CLIF file, with the inputs its entry or its run lines give."""
    from backend.ir.filetest import parse_file
    from backend.ir.verifier import verify

    try:
        text = read_text(path)
        if has_header(text):
            return parse_entry(text, str(path)).case
        parsed = parse_file(text, str(path))
        if not parsed.functions:
            fail(f"{path}: no function in it")
        functions = [item.function for item in parsed.functions]
        for each in functions:
            verify(each)
    except (EntryError, ClifError) as error:
        fail(_place(str(path), error))
    zeros = tuple(0 for _ in functions[0].signature.params)
    return Case(functions[0], [zeros], isa=isa, others=functions[1:])


def _place(path: str, error: Exception) -> str:
    if isinstance(error, ClifError) and error.line:
        error.path = path
    text = str(error)
    return text if text.startswith(path) else f"{path}: {text}"


def entry_paths(paths: tuple[str, ...]) -> list[Path]:
    """The .clif files named or under the folders named, sorted; one line and exit 2 if one is missing."""
    found: list[Path] = []
    for name in paths:
        path = Path(name)
        try:
            if path.is_dir():
                found += sorted(p for p in path.rglob("*.clif") if p.is_file())
            else:
                path.stat()
                found.append(path)
        except FileNotFoundError:
            fail(f"{name}: no such file or folder")
        except OSError as error:
            fail(f"{name}: {error.strerror}")
    return found


def misfit(entry: Entry, target: Target, isa: str, *, planted: bool) -> str:
    """Why the entry can't be tried on ``target`` for ``isa``, or "" if it can."""
    if isa not in target.isas:
        return f"{target.name} has no ISA {isa!r}; it has {', '.join(target.isas)}"
    if family(target.name) == family(entry.target):
        for name, value in entry.case.options.items():
            offered = (*target.options, *target.options_of(isa))
            known = [option for option in offered if option.name == name]
            if not known:
                return f"{target.name} has no option {name!r}"
            number = type(known[0].default) is int and type(value) is int
            if not number and not any(value in option.values for option in known):
                return f"option {name} of {target.name} can't be {value!r}"
    if planted and entry.plant:
        from fuzzer.selftest.bugs import BUGS

        unknown = [name for name in entry.plant.split(",") if name not in BUGS]
        if unknown:
            return f"no bug {unknown[0]!r} to plant; `clifhanger list bugs` shows them"
    return ""


target_option: Callable[[Any], Any] = click.option(
    "--target", default="builtin", show_default=True, metavar="NAME",
    help=f"Who compiles: {', '.join(TARGETS)}.",
)  # fmt: skip
