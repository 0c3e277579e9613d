"""``clifhanger test``."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import click

from fuzzer.cli.common import fail, find_isas, find_target
from fuzzer.execute.machines import MACHINES
from fuzzer.filetests import EXECUTORS, FileResult, clif_files, run_file
from fuzzer.report.text import one_line


@click.command("test")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--on", "executor", type=click.Choice(sorted(EXECUTORS)), default="interpreter",
    show_default=True, help="Who runs the functions.",
)  # fmt: skip
@click.option("--isa", default="aarch64", show_default=True, help="For whom it is compiled.")
@click.option(
    "--opt-level", type=click.Choice(["none", "speed"]), default="none", show_default=True,
    help="Of the compiler.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def command(
    paths: tuple[Path, ...], executor: str, isa: str, opt_level: str, as_json: bool
) -> None:
    """Run the `; run:` lines of Cranelift filetests, in files and in folders.

    Exit status: 0 all that ran passed, 1 something failed, 2 a file could not be run or none had a
    line that could.
    """
    if executor != "interpreter":
        target = find_target(executor)
        find_isas(target, isa)
        if isa not in MACHINES:
            fail(f"--isa: nothing runs code for {isa}")
        if opt_level not in target.opt_levels:
            fail(f"--opt-level: {executor} has {', '.join(target.opt_levels)}, not {opt_level}")
    results: list[FileResult] = []
    for path in clif_files(paths):
        result = run_file(path, EXECUTORS[executor], isa, opt_level)
        results.append(result)
        for error in result.errors:
            click.echo(one_line(error), err=True)
        if not as_json:
            _show(result)
    totals = {
        name: sum(getattr(result, name) for result in results)
        for name in ("passed", "failed", "unsupported")
    }
    if as_json:
        click.echo(json.dumps({"totals": totals, "files": [r.as_json() for r in results]}))
    else:
        _summarise(results, totals)
    if any(result.errors for result in results):
        sys.exit(2)
    if not totals["passed"] + totals["failed"]:
        click.echo("clifhanger: nothing was tested", err=True)
        sys.exit(2)
    sys.exit(1 if totals["failed"] else 0)


def _show(result: FileResult) -> None:
    for line in result.printed:
        click.echo(one_line(line))
    for failure in result.failures:
        click.echo(one_line(
            f"{result.path}:{failure.line}: {failure.text.lstrip('; ')}   got {failure.got}"
        ))  # fmt: skip


def _summarise(results: list[FileResult], totals: dict[str, int]) -> None:
    reasons: Counter[str] = Counter()
    for result in results:
        reasons.update(result.reasons)
    if reasons:
        most = ", ".join(f"{reason} {count}" for reason, count in reasons.most_common(8))
        click.echo(one_line(f"unsupported: {most}{', ...' if len(reasons) > 8 else ''}"))
    counts = ", ".join(f"{count} {name}" for name, count in totals.items())
    click.echo(f"{counts} in {len(results)} files")
