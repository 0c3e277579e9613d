"""``clifhanger status``."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path

import click
from rich.console import Console
from rich.live import Live
from rich.table import Table

from fuzzer.campaign.state import State, StateError, at_work, read
from fuzzer.campaign.summary import out_folder, stats_of, summary_of
from fuzzer.cli.common import fail, find_target
from fuzzer.report.summary import Summary
from fuzzer.report.text import duration, one_line, options_of

_EVERY = 1.0


@click.command("status")
@click.argument("out", type=click.Path(path_type=Path), default=Path(".clifhanger"))
@click.option("--watch", is_flag=True, help="Go on showing until the campaign ends.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(out: Path, watch: bool, as_json: bool) -> None:
    """Show how the campaign in OUT is doing, also while it runs. The newest one in .clifhanger by default."""
    folder = out_folder(out)
    try:
        state = read(folder)
    except StateError as error:
        fail(str(error))
    target = find_target(state.header.target)
    if as_json:
        stats = stats_of(summary_of(state, target)) | {"running": at_work(folder), **_speed(state)}
        click.echo(json.dumps(stats, indent=2))
        return
    console = Console(highlight=False)
    if not watch or not sys.stdout.isatty():
        console.print(_table(summary_of(state, target), state, at_work(folder)))
        return
    with Live(console=console, auto_refresh=False) as live:
        while True:
            running = at_work(folder)
            live.update(_table(summary_of(state, target), state, running), refresh=True)
            if not running:
                return
            time.sleep(_EVERY)


def _speed(state: State) -> dict[str, float]:
    """Functions and runs a second between the last two samples, and how many workers had work."""
    samples = state.samples()[-2:]
    if len(samples) < 2 or samples[1].seconds <= samples[0].seconds:
        return {"functions_per_second": 0.0, "runs_per_second": 0.0, "workers": 0}
    one, two = samples
    span = two.seconds - one.seconds
    return {
        "functions_per_second": round((two.functions - one.functions) / span, 1),
        "runs_per_second": round((two.runs - one.runs) / span, 1),
        "workers": two.workers,
    }


def _table(summary: Summary, state: State, running: bool) -> Table:
    stats, speed = stats_of(summary), _speed(state)
    table = Table.grid(padding=(0, 2))
    options = "".join(f" {option}" for option in options_of(summary))
    planted = f" planted {','.join(summary.plants)}" if summary.plants else ""
    table.add_row("campaign", f"seed {summary.seed:#x} {summary.target}/{','.join(summary.isas)} "
                              f"shard {summary.shard}{options}{planted}")  # fmt: skip
    how = f"running, {speed['workers']} workers at it" if running else "not running"
    table.add_row("time", f"{duration(summary.seconds)}, {how}")
    live = max([sample.functions for sample in summary.samples[-1:]], default=0)
    table.add_row("functions", f"{max(live, summary.functions)}  {speed['functions_per_second']}/s")
    table.add_row("runs", f"{summary.runs}  {speed['runs_per_second']}/s")
    table.add_row("rules", f"{stats['rules_hit']}/{stats['rules_total']}")
    table.add_row("instructions", f"{stats['rows_hit']}/{stats['rows_total']}")
    tried = sum(bool(cell.count) for cell in summary.cells)
    table.add_row("forms", f"{tried}/{len(summary.cells)}")
    verdicts = Counter(row.verdict for row in summary.findings)
    suspects = f", {verdicts['suspect']} suspect" if verdicts["suspect"] else ""
    table.add_row("findings", f"{verdicts['new']} new, {verdicts['known']} known{suspects}")
    for row in summary.findings[-10:]:
        table.add_row(
            "", one_line(f"{row.verdict} {row.check} {row.isa} {row.signature} {row.skeleton[:60]}")
        )
    for event in state.events()[-3:]:
        table.add_row("journal" if event.kind else "",
                      one_line(f"{duration(event.seconds)} {event.kind}: {event.text[:100]}"))  # fmt: skip
    return table
