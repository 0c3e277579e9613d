"""``clifhanger compile``."""

from __future__ import annotations

from pathlib import Path

import click

from backend.errors import BackendError, InternalError
from fuzzer.cli.common import (
    fail,
    find_isas,
    find_options,
    find_target,
    load_case,
    target_option,
)
from fuzzer.report.text import one_line
from fuzzer.targets.target import CompileError, ProcessFailure, TargetUnavailable


@click.command("compile")
@click.argument("file", type=click.Path(path_type=Path))
@target_option
@click.option("--isa", metavar="ISA", help="The target's first by default.")
@click.option("--emit", default="asm", show_default=True, metavar="STAGE",
              help="A stage the target prints: vcode, alloc, asm, bytes for builtin.")  # fmt: skip
@click.option("--opt", "options", multiple=True, metavar="K=V", help="Set an option of the target.")
def command(file: Path, target: str, isa: str | None, emit: str, options: tuple[str, ...]) -> None:
    """Compile the first function of a file and print a stage."""
    made = find_target(target)
    default = find_isas(made, isa)[0]
    case = load_case(file, default)
    if isa:
        case.isa = default
    elif case.isa not in made.isas:
        fail(f"{file}: {target} has no ISA {one_line(case.isa)!r}; --isa names another")
    case.options = {**case.options, **find_options(made, options, [case.isa])}
    try:
        code = made.compile(case)
    except InternalError as error:
        fail(f"{file}: the compiler broke an invariant of its own: {error}")
    except (BackendError, CompileError) as error:
        fail(f"{file}: {one_line(str(error))}")
    except ProcessFailure as failure:
        fail(f"{file}: the compiler failed: {one_line(str(failure))}")
    except TargetUnavailable as error:
        fail(one_line(str(error)))
    except Exception as error:
        fail(f"{file}: the compiler failed: {type(error).__name__}: {one_line(str(error))}")
    if emit not in code.stages:
        fail(f"--emit: {target} prints {', '.join(code.stages)}, not {emit!r}")
    click.echo(code.stages[emit]().rstrip("\n"))
