"""``clifhanger fuzz``."""

from __future__ import annotations

import json
import os
import random
import sqlite3
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from fuzzer.campaign.campaign import SYNC_EVERY, Campaign, Totals, Workers
from fuzzer.campaign.crew import Crew
from fuzzer.campaign.investigate import versions_of
from fuzzer.campaign.settings import Settings
from fuzzer.campaign.state import Header, State, StateError, create, exists
from fuzzer.campaign.state import resume as resume_state
from fuzzer.campaign.summary import out_folder, stats_of, summary_of
from fuzzer.campaign.sync import Sync
from fuzzer.cli.common import (
    RUNTIME_KINDS,
    Duration,
    Seed,
    Shard,
    Size,
    fail,
    find_isas,
    find_options,
    find_runtime,
    find_second,
    find_target,
    runtime_option,
    second_options,
    target_option,
)
from fuzzer.corpus.entry import EntryError, read_text
from fuzzer.corpus.store import Store, write_durably
from fuzzer.execute.machines import MACHINES
from fuzzer.generate.catalogue import undrawn
from fuzzer.report.terminal import watcher_for
from fuzzer.targets.target import Target

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
@click.option("--resume", is_flag=True, help="Go on with the campaign in --out, or begin one.")
@click.option("--fresh", is_flag=True, help="Begin anew although there is a campaign in --out.")
@click.option("--stop-on-first", is_flag=True, help="Stop at the first new finding.")
@click.option("--max-findings", type=click.IntRange(1), help="Stop at so many new findings.")
@click.option("--opt", "options", multiple=True, metavar="K=V", help="Fix an option of the target.")
@click.option("--plant", metavar="BUG[,BUG]", help="Plant bugs in the builtin backend first.")
@click.option(
    "--report", metavar="KIND[,KIND]", default="", help="Reports to write into --out at the end."
)
@click.option(
    "--baseline",
    type=click.Path(path_type=Path),
    multiple=True,
    help="A corpus folder or a report.json: what is in it counts as known.",
)
@second_options
@runtime_option
@click.option("--timeout", type=Duration(), default=10.0, show_default=True, help="For one case.")
@click.option(
    "--mem", type=Size(), default=2 << 30, help="Address space of a worker, 2g by default."
)
@click.option(
    "--cluster", metavar="URL", help="Workers of a Dask cluster: tls://HOST:PORT of its scheduler."
)
@click.option(
    "--cluster-tls", metavar="CA,CERT,KEY", help="PEM files for tls://; Dask's own settings else."
)
@click.option(
    "--sync",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Exchange entries with other machines through a folder that they share.",
)
@click.option(
    "--sync-every", type=Duration(), default=SYNC_EVERY, show_default=True, help="How often."
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
    resume: bool,
    fresh: bool,
    stop_on_first: bool,
    max_findings: int | None,
    options: tuple[str, ...],
    plant: str | None,
    report: str,
    baseline: tuple[Path, ...],
    second: str | None,
    natively: bool,
    runtime: str,
    timeout: float,
    mem: int,
    cluster: str | None,
    cluster_tls: str | None,
    sync: Path | None,
    sync_every: float,
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
    for each in isas:
        find_second(second, natively, each)
        find_runtime(runtime, each)
    if unrun := [each for each in isas if each not in MACHINES]:
        click.echo(
            f"clifhanger: nothing runs code for {', '.join(unrun)}: it is compiled, and what comes is looked at",
            err=True,
        )
    if cluster and runtime != RUNTIME_KINDS[0]:
        fail(f"--runtime {runtime}: not with --cluster, whose machines have caches of their own")
    plants = _plants(plant, target)
    if seconds is None and functions is None:
        seconds = 60.0
    kinds = _kinds(report)
    if resume and fresh:
        fail("--resume and --fresh exclude each other")
    started = datetime.now(UTC)
    root = Path(".clifhanger")
    folder = out or (out_folder(root) if resume else root / started.strftime("%Y-%m-%dT%H-%M-%S"))
    settings = Settings(
        target=target,
        isas=isas,
        seed=random.SystemRandom().getrandbits(32) if seed is None else seed,
        functions=functions,
        workers=_workers(jobs),
        corpus=corpus or (folder / "corpus" if plants else Path("corpus")),
        out=folder,
        shard=shard[0],
        shards=shard[1],
        seconds=seconds,
        max_findings=1 if stop_on_first else max_findings,
        options=find_options(made, options, isas),
        plants=plants,
        timeout=timeout,
        memory=mem,
        baseline=_baseline(baseline),
        second=second or "qemu",
        runtime=runtime,
    )
    resuming = resume and exists(folder)
    if exists(folder) and not (resume or fresh):
        fail(f"{folder}: holds a campaign; --resume goes on with it, --fresh begins anew")
    for path in (folder, settings.corpus, *([sync] if sync else [])):
        _writable(path)
    if sync and sync.samefile(settings.corpus):
        fail(f"--sync: {sync} is the corpus itself; give --corpus a folder of this machine's own")
    versions = versions_of(made)
    hire = _hire(settings, cluster, cluster_tls)
    try:
        if resuming:
            state = _resumed(settings, seed)
        else:
            known = Store(settings.corpus).signatures()
            state = create(folder, _header(settings, versions), known)
    except StateError as error:
        fail(str(error), _DEGRADED if error.full else 2)
    shared = Sync(sync, settings.corpus) if sync else None
    watcher = watcher_for(settings, plain=no_ui, rules={isa: made.rules(isa) for isa in settings.isas},
                          rows={isa: made.rows(isa) for isa in settings.isas})  # fmt: skip
    try:
        campaign = Campaign(settings, made, state, watcher, sync=shared, sync_every=sync_every)
    except StateError as error:
        state.close()
        fail(str(error), _DEGRADED if error.full else 2)
    if settings.seconds is not None:
        settings.deadline = time.monotonic() + settings.seconds
    done = f"going on after {campaign.totals.functions} functions" if resuming else ""
    watcher.begin(versions, done)
    for isa in settings.isas:
        for line in undrawn(partial(made.supports, isa)):
            watcher.say(f"{isa}: {line}")
    totals = campaign.run(hire)
    watcher.end(totals)
    _write_reports(kinds, settings, state, made, totals)
    state.close()
    sys.exit(_status(totals))


def _hire(settings: Settings, cluster: str | None, tls: str | None) -> Callable[[], Workers]:
    """Who gets the workers when the campaign begins: of this machine, or of a cluster, which is there by now."""
    if not cluster:
        if tls:
            fail("--cluster-tls: no --cluster to use it for")
        return lambda: Crew(settings, settings.workers)
    if click.get_current_context().get_parameter_source("jobs") is not ParameterSource.DEFAULT:
        fail("-j: a cluster's threads are the workers; start those that you want there")
    from fuzzer.campaign.cluster import ClusterCrew
    from fuzzer.campaign.connection import ClusterError, connect

    try:
        client = connect(cluster, tls)
    except ClusterError as error:
        fail(f"--cluster: {error}")
    return lambda: ClusterCrew(client, settings)


def _header(settings: Settings, versions: str) -> Header:
    return Header(
        settings.target, list(settings.isas), settings.seed, settings.shard, settings.shards,
        dict(settings.options), list(settings.plants), settings.items, versions,
        str(settings.corpus), datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


_FIXED: Final = {"target": "--target", "isas": "--isa", "seed": "--seed", "shard": "--shard",
                 "shards": "--shard", "options": "--opt", "plants": "--plant"}  # fmt: skip
"""What a resumed campaign must agree in, and the options that say it."""


def _resumed(settings: Settings, seed: int | None) -> State:
    """The journal to go on with; the seed is its own unless one was given."""
    state = resume_state(settings.out)
    try:
        was = state.header
    except StateError:
        state.close()
        raise
    if seed is None:
        settings.seed = was.seed
    now = _header(settings, was.versions)
    for name, option in _FIXED.items():
        if getattr(now, name) != getattr(was, name):
            state.close()
            fail(f"{option}: the campaign in {settings.out} has {getattr(was, name)!r}, not "
                 f"{getattr(now, name)!r}; --fresh begins anew")  # fmt: skip
    return state


def _write_reports(
    kinds: tuple[str, ...], settings: Settings, state: State, target: Target, totals: Totals
) -> None:
    """stats.json and the reports that were asked for; a disk that takes none of them degrades the campaign."""
    from fuzzer.report.kinds import KINDS, write_reports

    try:
        summary = summary_of(state, target, totals.counts)
        write_durably(settings.out / "stats.json", json.dumps(stats_of(summary), indent=2) + "\n")
        if kinds:
            from fuzzer.explain.findings import explain_all

            wanted = any(KINDS[kind].explained for kind in kinds)
            explanations = explain_all(summary, target) if wanted else {}
            for path in write_reports(kinds, summary, explanations, settings.out):
                click.echo(f"clifhanger: {path}")
    except (OSError, sqlite3.Error) as error:
        click.echo(f"clifhanger: {settings.out}: {error}", err=True)
        totals.degraded = totals.degraded or str(error)


def _kinds(text: str) -> tuple[str, ...]:
    from fuzzer.report.kinds import UnknownKind, parse_kinds

    try:
        return parse_kinds(text) if text else ()
    except UnknownKind as error:
        fail(f"--report: {error}")


def _baseline(paths: tuple[Path, ...]) -> frozenset[str]:
    """The signatures in corpus folders and JSON reports."""
    known: set[str] = set()
    for path in paths:
        if path.is_dir():
            known |= Store(path).signatures()
            continue
        try:
            findings = json.loads(read_text(path)).get("findings", ())
            known |= {str(row["signature"]) for row in findings}
        except (EntryError, ValueError, AttributeError, TypeError, KeyError) as error:
            fail(f"--baseline: {path}: neither a corpus folder nor a report.json: {error}")
    return frozenset(known)


def _plants(plant: str | None, target: str) -> tuple[str, ...]:
    if not plant:
        return ()
    from fuzzer.selftest.bugs import BUGS
    from fuzzer.selftest.plant import planted

    if target != "builtin":
        fail(f"--plant: bugs can be planted in the builtin backend, not in {target}")
    names = tuple(dict.fromkeys(name.strip() for name in plant.split(",")))
    for name in names:
        if name not in BUGS:
            fail(f"--plant: no bug {name!r}; `clifhanger list bugs` shows them")
    try:
        with planted(names):
            return names
    except ValueError as error:
        fail(f"--plant: {','.join(names)} do not go together: {error}")


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
    if totals.degraded:
        return _DEGRADED
    if totals.interrupted:
        return 143 if totals.signal == 15 else 130
    if totals.broken or not (totals.tested or totals.findings or totals.known or totals.suspects):
        return 2
    return 1 if totals.findings else 0
