"""``clifhanger explain``."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import msgspec
from rich.console import Console

from fuzzer.cli.common import fail, find_isas, load, misfit, target_of
from fuzzer.explain.explain import STEPS, explain
from fuzzer.report.explained import print_explanation


@click.command("explain")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--isa", metavar="ISA", help="Another ISA than the entry's.")
@click.option("--planted", is_flag=True, help="Plant the bugs that the entry was found with.")
@click.option("--json", "as_json", is_flag=True, help="The explanation as JSON.")
@click.option("--steps", type=click.IntRange(1, 20_000), metavar="N",
              help=f"Steps of the trace to show, around the divergence; {STEPS} in JSON by default.")  # fmt: skip
def command(file: Path, isa: str | None, planted: bool, as_json: bool, steps: int | None) -> None:
    """Say why a corpus entry fails: the first wrong value, where it was lost, and the stage to blame.

    Exit status 1 if the entry fails, 0 if it does not, 2 if it can't be read or tried.
    """
    entry = load(file)
    target = target_of(entry, file)
    chosen = find_isas(target, isa)[0] if isa else entry.case.isa
    why = misfit(entry, target, chosen, planted=planted)
    if why:
        fail(f"{file}: {why}")
    explanation = explain(
        entry, target, isa=chosen, planted=planted, steps=max(steps or 0, STEPS), name=file.stem
    )
    if explanation.verdict in ("unsupported", "invalid"):
        fail(f"{file}: {explanation.verdict}: {explanation.detail}")
    if as_json:
        if steps is not None:
            explanation = explanation.around(steps)
        click.echo(msgspec.json.encode(explanation).decode())
    elif steps is None:
        print_explanation(explanation, Console(highlight=False))
    else:
        print_explanation(explanation, Console(highlight=False), steps=steps)
    if explanation.verdict in ("fixed", "clean"):
        if entry.plant and not planted and not as_json:
            click.echo("The entry was found with a planted bug; --planted plants it.")
        sys.exit(0)
    sys.exit(1)
