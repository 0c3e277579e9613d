"""``clifhanger replay``."""

from __future__ import annotations

import sys

import click

from fuzzer.cli.common import (
    entry_paths,
    fail,
    find_runtime,
    find_second,
    find_target,
    misfit,
    runtime_option,
    second_options,
)
from fuzzer.corpus.entry import EntryError, load_entry
from fuzzer.corpus.replay import Verdict, replay
from fuzzer.report.text import one_line
from fuzzer.targets import TargetUnavailable, is_known, target_named

_MARKS = {"fixed": "fixed", "failing": "still failing", "changed": "changed", "clean": "clean",
          "regressed": "FAILING AGAIN", "unsupported": "unsupported", "invalid": "invalid"}  # fmt: skip
_FAILING = ("failing", "changed", "regressed")
_UNTRIED = ("unsupported", "invalid")


@click.command("replay")
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--target", metavar="NAME", help="Compile with another target than the entry's.")
@click.option("--all-isas", is_flag=True, help="Replay for every ISA the target has.")
@click.option("--planted", is_flag=True, help="Plant the bugs that the entry was found with.")
@second_options
@runtime_option
@click.option("--bisect-exit", is_flag=True, help="Exit 0, 1 or 125, for `git bisect run`.")
def command(
    paths: tuple[str, ...], target: str | None, all_isas: bool, planted: bool, second: str | None,
    natively: bool, runtime: str, bisect_exit: bool,
) -> None:  # fmt: skip
    """Run corpus entries again and say: fixed, still failing, changed.

    Exit status 1 if an entry fails, 0 if none does, 2 if one can't be read or none could be tried. One whose target is
    not installed is left out, and said to be.
    """
    if target is not None:
        find_target(target)
    verdicts: list[Verdict] = []
    bad = missing = 0
    files = entry_paths(paths)
    if not files:
        fail(f"{', '.join(paths)}: no .clif file in it")
    for path in files:
        try:
            entry = load_entry(path)
        except EntryError as error:
            click.echo(f"clifhanger: {one_line(str(error))}", err=True)
            bad += 1
            continue
        name = target or entry.target
        try:
            chosen = target_named(name)
        except TargetUnavailable as error:
            click.echo(f"clifhanger: {one_line(f'{path}: {error}')}", err=True)
            known = is_known(name)
            missing += known
            bad += not known
            continue
        isas = chosen.isas if all_isas else (entry.case.isa,)
        for isa in isas:
            why = misfit(entry, chosen, isa, planted=planted)
            if why:
                click.echo(f"clifhanger: {one_line(f'{path}: {why}')}", err=True)
                bad += 1
                continue
            executor = find_second(second, natively, isa)
            verdict = replay(entry, chosen, isa, planted=planted, second=executor,
                             runtime=find_runtime(runtime, isa))  # fmt: skip
            verdicts.append(verdict)
            line = f"{_MARKS[verdict.verdict]:<14} {path}"
            if all_isas:
                line += f" on {isa}"
            if executor:
                line += f" on {executor.name}"
            if verdict.detail:
                line += f"  {verdict.detail}"
            click.echo(one_line(line))
    failing = sum(v.verdict in _FAILING for v in verdicts)
    tried = any(v.verdict not in _UNTRIED for v in verdicts)
    bad += sum(v.verdict == "invalid" for v in verdicts)
    if len(verdicts) + bad + missing > 1:
        lacking = f", {missing} without their target" if missing else ""
        click.echo(
            f"clifhanger: {len(verdicts)} replayed, {failing} failing, {bad} unreadable{lacking}"
        )
    if bisect_exit:
        sys.exit(125 if bad or not tried else 1 if failing else 0)
    sys.exit(2 if bad or not tried else 1 if failing else 0)
