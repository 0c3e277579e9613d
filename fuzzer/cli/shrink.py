"""``clifhanger shrink``."""

from __future__ import annotations

from pathlib import Path

import click

from fuzzer.campaign.investigate import entry_of, restated, same_violation, shrink, versions_of
from fuzzer.checks import CHECKS
from fuzzer.cli.common import fail, load, misfit, target_of
from fuzzer.corpus.entry import print_entry
from fuzzer.corpus.store import write_durably
from fuzzer.finding import Finding, Violation
from fuzzer.reference.memory import UndefinedBehaviour
from fuzzer.selftest.plant import planted as planting
from fuzzer.trial import expected_of, run_trial


@click.command("shrink")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Write here, not over FILE.")
@click.option("--planted", is_flag=True, help="Plant the bugs that the entry was found with.")
def command(file: Path, output: Path | None, planted: bool) -> None:
    """Make a corpus entry smaller: the same rule broken in the same way, by less."""
    entry = load(file)
    target = target_of(entry, file)
    if target.isolated:
        fail(f"{file}: {target.name} may take its process down; its entries are shrunk when found")
    why = misfit(entry, target, entry.case.isa, planted=planted)
    if why:
        fail(f"{file}: {why}")
    with planting([name for name in entry.plant.split(",") if name and planted]):
        violation = Violation(entry.check, entry.observed, entry.key)
        known = entry.check in CHECKS
        if not known or same_violation(entry.case, target, violation, endless=True) is None:
            try:
                _, found = run_trial(entry.case, target, thorough=True)
            except UndefinedBehaviour as error:
                fail(f"{file}: means nothing: {error}")
            if not found:
                fail(f"{file}: does not fail; nothing to shrink")
            violation = found[0]
        before = entry.case.instruction_count()
        small = restated(shrink(Finding(entry.case, target.name, violation), target, None), target)
        smaller = entry_of(small, seed=entry.seed, plant=entry.plant, versions=versions_of(target))
        smaller.status = entry.status
        text = print_entry(smaller, expected_of(small.case))
    try:
        write_durably((output or file).absolute(), text)
    except OSError as error:
        fail(f"{output or file}: {error.strerror}")
    click.echo(f"{output or file}: {before} -> {small.case.instruction_count()} instructions")
