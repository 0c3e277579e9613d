"""``clifhanger bisect``."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import click

from fuzzer.cli.common import fail, load, misfit
from fuzzer.corpus.replay import replay
from fuzzer.report.text import one_line
from fuzzer.targets import TARGETS, TargetUnavailable, family, target_named, versions_here

_SAID = {"fixed": "works", "clean": "works", "failing": "fails", "regressed": "fails", "changed": "fails otherwise",
         "unsupported": "unsupported", "invalid": "invalid"}  # fmt: skip
_UNTRIED = ("unsupported", "invalid")


class _Tried(NamedTuple):
    """What a version does with the entry: a word of ``_SAID``, and why."""

    name: str
    version: str
    said: str
    detail: str


@click.command("bisect")
@click.argument("entry", type=click.Path(path_type=Path))
@click.option(
    "--target", metavar="NAME", help="Whose versions: the entry's own target, unless given."
)
@click.option(
    "--versions", metavar="V,V,...", help="These only, instead of all that are built: 0.40,0.44."
)
def command(entry: Path, target: str | None, versions: str | None) -> None:
    """Replay an entry on every version of a compiler that is here, the oldest first and the installed one last, and say
    between which it appeared or vanished.

    `clifhanger doctor --build NAME@VERSION` adds a version. Exit status 1 if the entry fails on any, 0 if on none, 2 if
    none could try it.
    """
    found = load(entry)
    name = family(target or found.target)
    row = TARGETS.get(name)
    if row is None or not row.versions:
        those = ", ".join(name for name, row in TARGETS.items() if row.versions)
        fail(f"{name} has no versions to compare; {those} has")
    here = versions_here(name)
    if versions is not None:
        here = [f"{name}@{each.strip()}" for each in versions.split(",")]
    elif not here:
        fail(
            f"no version of {name} is built; `clifhanger doctor --build {name}@VERSION` builds one"
        )
    tried: list[_Tried] = []
    for each in [*here, *([] if versions else [name])]:
        try:
            compiler = target_named(each)
            why = misfit(found, compiler, found.case.isa, planted=False)
            if why:
                fail(f"{entry}: {why}")
            version = compiler.version
        except TargetUnavailable as error:
            if each != name:
                fail(str(error))
            click.echo(f"clifhanger: {one_line(str(error))}", err=True)
            continue
        verdict = replay(found, compiler, found.case.isa)
        tried.append(_Tried(each, version, _SAID[verdict.verdict], verdict.detail))
        _show(tried[-1], max(map(len, here)))
    judged = [one for one in tried if one.said not in _UNTRIED]
    for before, after in pairwise(judged):
        if before.said != after.said:
            turn = _turn(before.said, after.said)
            click.echo(f"clifhanger: {turn} between {before.version} and {after.version}")
    if not judged:
        sys.exit(2)
    sys.exit(1 if any(one.said != "works" for one in judged) else 0)


def _show(one: _Tried, width: int) -> None:
    line = f"{one.name:<{width}}  {one.version:<34}  {one.said:<15}  {one.detail}"
    click.echo(one_line(line.rstrip()))


def _turn(before: str, after: str) -> str:
    if before == "works":
        return "appeared"
    return "vanished" if after == "works" else "changed"
