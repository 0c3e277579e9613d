"""From a campaign's journal to what the reports print."""

from __future__ import annotations

from pathlib import Path

from fuzzer.campaign.coverage import Coverage, supported_forms
from fuzzer.campaign.schedule import Counts, Schedule
from fuzzer.campaign.state import State
from fuzzer.report.summary import Cell, Fired, Summary
from fuzzer.targets.target import Target


def summary_of(state: State, target: Target, counts: Counts | None = None) -> Summary:
    """All that the journal knows, with what ``target`` could have been asked besides. ``counts``: what its campaign
    knows besides, of slices that are not done.
    """
    header = state.header
    if counts is None:
        schedule = Schedule(header.seed, header.shard, {})
        state.restore(schedule)
        counts = schedule.counts()
    sums, tallies = counts.sums, state.tallies()
    coverage = {isa: counts.coverage.get(isa, Coverage()) for isa in header.isas}
    levels = list(target.opt_levels) if len(target.opt_levels) > 1 else [""]
    return Summary(
        target=header.target,
        isas=header.isas,
        seed=header.seed,
        shard=f"{header.shard + 1}/{header.shards}",
        started=header.started,
        seconds=round(tallies.seconds, 3),
        versions=header.versions,
        options=header.options,
        plants=header.plants,
        corpus=header.corpus,
        out=str(state.path.parent),
        functions=sums.functions,
        runs=sums.runs,
        instructions=sums.instructions,
        out_of_fuel=sums.out_of_fuel,
        worker_deaths=tallies.deaths,
        known=tallies.known,
        interrupted=bool(state.get("interrupted", bool)),
        findings=list(state.findings().values()),
        unsupported=dict(sorted(sums.unsupported.items(), key=lambda item: (-item[1], item[0]))),
        rules=[Fired(name, isa, coverage[isa].rules.get(number, 0))
               for isa in header.isas for number, name in enumerate(target.rules(isa))],
        rows=[Fired(name, isa, coverage[isa].rows.get(number, 0))
              for isa in header.isas for number, name in enumerate(target.rows(isa))],
        cells=[Cell(*form, isa, coverage[isa].at(level).get(".".join(form), 0), level)
               for isa in header.isas for level in levels for form in supported_forms(target, isa)],
        samples=state.samples(),
        events=state.events(),
        errors=state.get("errors", list[str]) or [],
    )  # fmt: skip


def missed(summary: Summary, all_fired: list[Fired]) -> list[str]:
    """Names of what never fired, with the ISA in front if there are several."""
    several = len(summary.isas) > 1
    return [
        f"{fired.isa}:{fired.name}" if several else fired.name
        for fired in all_fired
        if not fired.count
    ]


def stats_of(summary: Summary) -> dict[str, object]:
    """``stats.json``: what a campaign came to, for programs, in a few lines."""
    new = summary.new
    return {
        "target": summary.target,
        "isas": summary.isas,
        "seed": summary.seed,
        "shard": summary.shard,
        "seconds": summary.seconds,
        "functions": summary.functions,
        "runs": summary.runs,
        "instructions": summary.instructions,
        "out_of_fuel": summary.out_of_fuel,
        "unsupported": summary.unsupported,
        "worker_deaths": summary.worker_deaths,
        "known": summary.known,
        "findings": len(new),
        "entries": [
            {"signature": f.signature, "check": f.check, "isa": f.isa, "path": f.path,
             "detail": f.detail, "instructions": f.after, "suspect": f.suspect}
            for f in new
        ],
        "suspects": sum(f.verdict == "suspect" for f in summary.findings),
        "rules_hit": sum(bool(fired.count) for fired in summary.rules),
        "rules_total": len(summary.rules),
        "rules_missed": missed(summary, summary.rules),
        "rows_hit": sum(bool(fired.count) for fired in summary.rows),
        "rows_total": len(summary.rows),
        "rows_missed": missed(summary, summary.rows),
        "interrupted": summary.interrupted,
        "errors": summary.errors,
    }  # fmt: skip


def out_folder(path: Path) -> Path:
    """The campaign's folder: ``path``, or the newest campaign in it if it holds several."""
    from fuzzer.campaign.state import exists

    if exists(path):
        return path
    inside = sorted(child for child in path.glob("*/") if exists(child))
    return inside[-1] if inside else path
