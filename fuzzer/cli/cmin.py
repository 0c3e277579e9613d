"""``clifhanger cmin``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fuzzer.cli.common import entry_paths, fail
from fuzzer.corpus.entry import EntryError, load_entry
from fuzzer.corpus.minimise import Covers, features_of, redundant
from fuzzer.report.text import one_line
from fuzzer.targets import TargetUnavailable


@click.command("cmin")
@click.argument("corpus", type=click.Path(path_type=Path))
@click.option("--apply", is_flag=True, help="Delete them; by default they are only named.")
def command(corpus: Path, apply: bool) -> None:
    """Name the seeds in CORPUS that cover nothing of their own: no form, no lowering rule, no instruction row.

    Entries of bugs, open or fixed, always stay.
    """
    known: list[Covers] = []
    bad = 0
    for path in entry_paths((str(corpus),)):
        try:
            entry = load_entry(path)
            known.append(Covers(path, entry, features_of(entry)))
        except (EntryError, TargetUnavailable) as error:
            click.echo(f"clifhanger: {one_line(str(error))}", err=True)
            bad += 1
    if not known:
        fail(f"{corpus}: no entry in it")
    extra = redundant(known)
    for covers in extra:
        click.echo(covers.path)
        if apply:
            try:
                covers.path.unlink()
            except OSError as error:
                fail(f"{covers.path}: {error.strerror}")
    covered = len(frozenset().union(*(covers.features for covers in known)))
    click.echo(f"clifhanger: {len(known)} entries cover {covered} things; {len(extra)} seeds cover nothing of their own"
               + (", deleted" if apply and extra else ""))  # fmt: skip
    sys.exit(2 if bad else 0)
