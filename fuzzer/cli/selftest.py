"""``clifhanger selftest``."""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path

import click

from fuzzer.cli.common import Duration, Seed, fail, find_isas, find_target
from fuzzer.selftest.bugs import BUGS
from fuzzer.selftest.runner import Verdict, look_for


@click.command("selftest")
@click.option(
    "--bug", "names", multiple=True, metavar="NAME", help="Only this bug; may be repeated."
)
@click.option("--isa", metavar="ISA", help="Only the bugs that this ISA shows; all by default.")
@click.option(
    "--time", "seconds", type=Duration(), default=60.0, help="Budget a bug, 60s by default."
)
@click.option("--seed", type=Seed(), default=1, show_default=True, help="Where the draws begin.")
@click.option(
    "--corpus", type=click.Path(path_type=Path), help="Keep an entry of each finding here."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object with a row a bug.")
def command(
    names: tuple[str, ...], isa: str | None, seconds: float, seed: int, corpus: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Plant bugs in the builtin backend, one at a time, and see that each is found, on the ISA that its row names.

    Exit status 1 if one was missed or its reproducer is larger than it may be.
    """
    for name in names:
        if name not in BUGS:
            fail(f"--bug: no bug {name!r}; `clifhanger list bugs` shows them")
        if isa is not None and BUGS[name].isa != isa:
            fail(f"--bug: {name} is shown by {BUGS[name].isa}, not by {isa}")
    if isa is not None:
        find_isas(find_target("builtin"), isa)
    chosen = names or [name for name, bug in BUGS.items() if isa in (None, bug.isa)]
    verdicts: list[Verdict] = []
    for name in chosen:
        verdict = look_for(BUGS[name], BUGS[name].isa, seconds=seconds, seed=seed, corpus=corpus)
        verdicts.append(verdict)
        if not as_json:
            click.echo(_line(verdict))
    missed = [v for v in verdicts if not v.passed]
    median = statistics.median(v.seconds for v in verdicts)
    worst = max(v.seconds for v in verdicts)
    if as_json:
        summary = {"bugs": len(verdicts), "found": len(verdicts) - len(missed),
                   "median_seconds": round(median, 3), "worst_seconds": round(worst, 3)}  # fmt: skip
        click.echo(json.dumps({"summary": summary, "bugs": [v.row() for v in verdicts]}, indent=2))
    else:
        click.echo(f"clifhanger: {len(verdicts) - len(missed)} of {len(verdicts)} found, "
                   f"median {median:.1f}s, worst {worst:.1f}s")  # fmt: skip
    sys.exit(1 if missed else 0)


def _line(verdict: Verdict) -> str:
    state = "found " if verdict.passed else "LARGE " if verdict.found else "MISSED"
    also = f"  also {', '.join(verdict.others)}" if verdict.others else ""
    why = f"  ({verdict.why})" if verdict.why else ""
    return (f"{state} {verdict.name:<28} {verdict.check:<11} {verdict.seconds:5.1f}s "
            f"{verdict.functions:6} functions  {verdict.instructions:2} of {verdict.limit:2} "
            f"instructions{also}{why}")  # fmt: skip
