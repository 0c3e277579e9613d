"""A campaign on the terminal: one status screen, or plain lines where nobody watches."""

from __future__ import annotations

import os
import shlex
import sys
import time
from typing import Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fuzzer.campaign.campaign import Totals
from fuzzer.campaign.settings import Settings
from fuzzer.report.summary import FindingRow
from fuzzer.report.text import duration, one_line

_EVERY: Final = 10.0
"""Seconds between two plain progress lines."""
_SHOWN: Final = 12


class Plain:
    """Lines for a pipe, a log, CI. Also the base of the status screen."""

    def __init__(
        self, settings: Settings, rules: dict[str, list[str]], rows: dict[str, list[str]]
    ) -> None:
        self.settings = settings
        self.rules = rules
        self.rows = rows
        #: how many there are, of all ISAs
        self.known = {"rules": sum(map(len, rules.values())), "rows": sum(map(len, rows.values()))}
        self._last = time.monotonic()

    def line(self, text: str) -> None:
        print(text, flush=True)

    def begin(self, versions: str, resumed: str = "") -> None:
        """The first line holds what is needed to repeat the run."""
        s = self.settings
        shard = f", shard {s.shard + 1}/{s.shards}" if s.shards > 1 else ""
        planted = f", planted {','.join(s.plants)}" if s.plants else ""
        options = "".join(f", {name}={value}" for name, value in s.options.items())
        self.line(f"clifhanger: seed {s.seed:#x}, {s.target}/{','.join(s.isas)}{shard}{options}"
                  f"{planted}, out {s.out}, {versions}")  # fmt: skip
        if resumed:
            self.line(f"clifhanger: {resumed}")

    def say(self, what: str) -> None:
        self.line(f"clifhanger: {one_line(what)}")

    def found(self, row: FindingRow) -> None:
        detail = one_line(row.detail)[:160]
        shape = one_line(row.skeleton)
        shape = shape if len(shape) <= 60 else shape[:57] + "..."
        note = f"  (suspect: {row.suspect})" if row.suspect else ""
        path = shlex.quote(row.path)
        planted = " --planted" if self.settings.plants else ""
        word = "SUSPECT" if row.verdict == "suspect" else "FOUND"
        self.line(f"{word} {row.check} {row.isa} {row.signature}  {shape}  {detail}  "
                  f"{row.before} -> {row.after} instructions{note}")  # fmt: skip
        self.line(f"  replay:  clifhanger replay{planted} {path}")
        self.line(f"  explain: clifhanger explain{planted} {path}")

    def died(self, what: str) -> None:
        self.say(what)

    def tick(self, totals: Totals) -> None:
        now = time.monotonic()
        if now - self._last >= _EVERY:
            self._last = now
            self.line(self.progress(totals))

    def progress(self, totals: Totals) -> str:
        seconds = max(totals.seconds, 0.001)
        rules = (
            f", rules {totals.hits('rules')}/{self.known['rules']}" if self.known["rules"] else ""
        )
        suspects = f", suspects {len(totals.suspects)}" if totals.suspects else ""
        return (f"clifhanger: {duration(seconds)}, {totals.functions} functions "
                f"({totals.functions / seconds:.0f}/s), {totals.runs} runs{rules}, findings "
                f"{len(totals.findings)} ({len(totals.known)} known){suspects}, workers "
                f"{totals.workers}/{self.settings.workers}")  # fmt: skip

    def end(self, totals: Totals) -> None:
        """The sum, what was not reached, and what the fuzzer itself broke on."""
        self.line(self.progress(totals))
        for what, all_names, kind in (("rules", self.rules, "rules"),
                                      ("instructions", self.rows, "rows")):  # fmt: skip
            for isa, names in all_names.items():
                coverage = totals.counts.coverage.get(isa)
                hit = getattr(coverage, kind) if coverage is not None else {}
                missed = [name for number, name in enumerate(names) if number not in hit]
                if missed:
                    more = f" and {len(missed) - _SHOWN} more" if len(missed) > _SHOWN else ""
                    whose = f"{isa} {what}" if len(all_names) > 1 else what
                    self.line(
                        f"clifhanger: {whose} that never fired: {', '.join(missed[:_SHOWN])}{more}"
                    )
        for reason, count in sorted(
            totals.counts.sums.unsupported.items(), key=lambda item: -item[1]
        )[:5]:
            self.line(f"clifhanger: unsupported {count} times: {one_line(reason)}")
        if totals.functions and not (totals.tested or totals.findings or totals.suspects):
            self.line("clifhanger: nothing was tested: the target took none of the functions")
        for broken in totals.broken:
            self.line(
                f"clifhanger: internal error at {broken.where}: this is a bug of clifhanger's"
            )
            self.line(broken.traceback.rstrip())
        if totals.degraded:
            self.line(f"clifhanger: stopped, could not go on: {one_line(totals.degraded)}")
            self.line("clifhanger: nothing that was printed is lost; "
                      f"{totals.remedy} and go on with --resume")  # fmt: skip


class Screen(Plain):
    """The status screen: findings scroll by above it."""

    def __init__(
        self, settings: Settings, rules: dict[str, list[str]], rows: dict[str, list[str]]
    ) -> None:
        super().__init__(settings, rules, rows)
        self.console = Console(highlight=False)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._last_new = ""
        self._drawn = 0.0

    def line(self, text: str) -> None:
        self.console.print(Text(text), soft_wrap=True)

    def begin(self, versions: str, resumed: str = "") -> None:
        super().begin(versions, resumed)
        self._live.start()

    def found(self, row: FindingRow) -> None:
        super().found(row)
        self._last_new = f"{row.check} {row.signature}"

    def tick(self, totals: Totals) -> None:
        now = time.monotonic()
        if now - self._drawn < 0.25:
            return
        self._drawn = now
        seconds = max(totals.seconds, 0.001)
        budget = f" of {duration(self.settings.seconds)}" if self.settings.seconds else ""
        table = Table.grid(padding=(0, 2))
        table.add_row("time", duration(seconds) + budget, "workers",
                      f"{totals.workers}/{self.settings.workers}, {totals.deaths} died")  # fmt: skip
        table.add_row("functions", f"{totals.functions}  {totals.functions / seconds:.0f}/s",
                      "runs", f"{totals.runs}  {totals.runs / seconds:.0f}/s")  # fmt: skip
        suspects = f", {len(totals.suspects)} suspect" if totals.suspects else ""
        table.add_row("findings", f"{len(totals.findings)} new, {len(totals.known)} known{suspects}",
                      "last new", self._last_new or "none yet")  # fmt: skip
        table.add_row("rules", f"{totals.hits('rules')}/{self.known['rules']}",
                      "instructions", f"{totals.hits('rows')}/{self.known['rows']}")  # fmt: skip
        self._live.update(table, refresh=True)

    def end(self, totals: Totals) -> None:
        self._live.stop()
        super().end(totals)


def watcher_for(
    settings: Settings, *, plain: bool, rules: dict[str, list[str]], rows: dict[str, list[str]]
) -> Plain:
    """The screen on a terminal, plain lines anywhere else."""
    if plain or not sys.stdout.isatty() or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return Plain(settings, rules, rows)
    return Screen(settings, rules, rows)
