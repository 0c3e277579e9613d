"""``stats.json``: what a campaign came to, for programs."""

from __future__ import annotations

import json

from fuzzer.campaign.campaign import Totals
from fuzzer.campaign.settings import Settings
from fuzzer.corpus.store import write_durably
from fuzzer.targets.target import Target


def write_stats(settings: Settings, totals: Totals, target: Target) -> None:
    """Write ``stats.json`` into the campaign's folder, durably."""
    rules, rows = target.rules(), target.rows()
    stats = {
        "target": settings.target,
        "isas": list(settings.isas),
        "seed": settings.seed,
        "shard": f"{settings.shard + 1}/{settings.shards}",
        "seconds": round(totals.seconds, 3),
        "functions": totals.functions,
        "runs": totals.runs,
        "instructions": totals.instructions,
        "out_of_fuel": totals.out_of_fuel,
        "unsupported": totals.unsupported,
        "worker_deaths": totals.deaths,
        "known": totals.known,
        "findings": len(totals.findings),
        "entries": [
            {"signature": f.signature, "check": f.check, "isa": f.isa, "path": f.path,
             "detail": f.detail, "instructions": f.after, "suspect": f.suspect}
            for f in totals.findings.values()
        ],
        "rules_hit": len(totals.rules),
        "rules_total": len(rules),
        "rules_missed": [name for i, name in enumerate(rules) if i not in totals.rules],
        "rows_hit": len(totals.rows),
        "rows_total": len(rows),
        "rows_missed": [name for i, name in enumerate(rows) if i not in totals.rows],
        "interrupted": bool(totals.interrupted),
        "errors": [f"{b.where}: {b.traceback}" for b in totals.broken],
    }  # fmt: skip
    write_durably(settings.out / "stats.json", json.dumps(stats, indent=2) + "\n")
