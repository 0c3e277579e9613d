"""``clifhanger fuzz``."""

from __future__ import annotations

import os
import random
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Final

import click

from fuzzer.campaign.campaign import Campaign, Totals
from fuzzer.campaign.settings import Settings
from fuzzer.campaign.stats import write_stats
from fuzzer.cli.common import (
    Duration,
    Seed,
    Shard,
    Size,
    fail,
    find_isas,
    find_options,
    find_target,
    target_option,
)
from fuzzer.report.terminal import watcher_for

_DEGRADED: Final = 3
"""Exit status of a campaign that could not write what it should have."""
_LEAST_MEMORY: Final = 256 << 20
"""Bytes of address space in which a worker can start at all."""
_LEAST_TIMEOUT: Final = 0.1
"""Seconds below which a case that is merely slow would count as a hang."""


@click.command("fuzz")
@target_option
@click.option(
    "--isa", metavar="ISA[,ISA]", help="ISAs to compile for; the target's first by default."
)
@click.option("--time", "seconds", type=Duration(), help="How long: 60s, 10m, 8h.")
@click.option("-n", "functions", type=click.IntRange(1), help="How many functions.")
@click.option("-j", "jobs", default="1", show_default=True, metavar="N|auto", help="Workers.")
@click.option("--seed", type=Seed(), help="Campaign seed; drawn if not given, always printed.")
@click.option(
    "--shard", type=Shard(), default=(0, 1), metavar="K/N", help="Do the K-th of N shares."
)
@click.option(
    "--corpus", type=click.Path(path_type=Path), help="Where entries go and known ones are."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of this campaign's statistics."
)
@click.option("--stop-on-first", is_flag=True, help="Stop at the first new finding.")
@click.option("--max-findings", type=click.IntRange(1), help="Stop at so many new findings.")
@click.option("--opt", "options", multiple=True, metavar="K=V", help="Fix an option of the target.")
@click.option("--plant", metavar="BUG[,BUG]", help="Plant bugs in the builtin backend first.")
@click.option("--timeout", type=Duration(), default=10.0, show_default=True, help="For one case.")
@click.option(
    "--mem", type=Size(), default=2 << 30, help="Address space of a worker, 2g by default."
)
@click.option("--no-ui", is_flag=True, help="Plain lines even on a terminal.")
def command(
    target: str,
    isa: str | None,
    seconds: float | None,
    functions: int | None,
    jobs: str,
    seed: int | None,
    shard: tuple[int, int],
    corpus: Path | None,
    out: Path | None,
    stop_on_first: bool,
    max_findings: int | None,
    options: tuple[str, ...],
    plant: str | None,
    timeout: float,
    mem: int,
    no_ui: bool,
) -> None:
    """Draw functions, compile them, run them, shrink and keep what breaks.

    Exit status 1 if there are findings, 0 if there are none.
    """
    if mem < _LEAST_MEMORY:
        fail(f"--mem: a worker needs {_LEAST_MEMORY >> 20}m at least")
    if timeout < _LEAST_TIMEOUT:
        fail(f"--timeout: a case needs {_LEAST_TIMEOUT}s at least")
    made = find_target(target)
    isas = find_isas(made, isa)
    plants = _plants(plant, target)
    if seconds is None and functions is None:
        seconds = 60.0
    started = datetime.now(UTC)
    folder = out or Path(".clifhanger") / started.strftime("%Y-%m-%dT%H-%M-%S")
    settings = Settings(
        target=target,
        isas=isas,
        seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
        seconds=seconds,
        functions=functions,
        workers=_workers(jobs),
        corpus=corpus or (folder / "corpus" if plants else Path("corpus")),
        out=folder,
        shard=shard[0],
        shards=shard[1],
        max_findings=1 if stop_on_first else max_findings,
        options=find_options(made, options),
        plants=plants,
        timeout=timeout,
        memory=mem,
    )
    for path in (folder, settings.corpus):
        _writable(path)
    watcher = watcher_for(settings, plain=no_ui, rules=made.rules(), rows=made.rows())
    watcher.begin(
        f"clifhanger {version('clifhanger')}, {made.version}, unicorn {version('unicorn')}"
    )
    campaign = Campaign(settings, watcher)
    totals = campaign.run()
    watcher.end(totals)
    try:
        write_stats(settings, totals, made)
    except OSError as error:
        click.echo(f"clifhanger: {folder / 'stats.json'}: {error.strerror}", err=True)
        sys.exit(_DEGRADED)
    sys.exit(_status(totals))


def _plants(plant: str | None, target: str) -> tuple[str, ...]:
    if not plant:
        return ()
    from fuzzer.selftest.bugs import BUGS

    if target != "builtin":
        fail(f"--plant: bugs can be planted in the builtin backend, not in {target}")
    names = tuple(dict.fromkeys(name.strip() for name in plant.split(",")))
    for name in names:
        if name not in BUGS:
            fail(f"--plant: no bug {name!r}; `clifhanger list bugs` shows them")
    return names


def _workers(jobs: str) -> int:
    if jobs == "auto":
        return len(os.sched_getaffinity(0))
    if not jobs.isdecimal() or not 1 <= int(jobs) <= 256:
        fail(f"-j: {jobs!r} is no number of workers; write 1 to 256, or auto")
    return int(jobs)


def _writable(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        fail(f"{path}: can't be written: {error.strerror}")


def _status(totals: Totals) -> int:
    if totals.interrupted:
        return 143 if totals.signal == 15 else 130
    if totals.broken or not (totals.tested or totals.findings):
        return 2
    return 1 if totals.findings else 0
