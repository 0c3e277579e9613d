"""``clifhanger triage``."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from fuzzer.campaign.state import StateError, exists, read
from fuzzer.campaign.triage import Cluster, Triage, draft, merge, triage
from fuzzer.cli.common import entry_paths, fail
from fuzzer.corpus.store import write_durably
from fuzzer.report.text import one_line


@click.command("triage")
@click.argument("outs", nargs=-1, required=True, metavar="OUT...")
@click.option(
    "--planted", is_flag=True, help="Replay with the bugs planted that entries were found with."
)
@click.option(
    "--merge", "corpus", type=click.Path(path_type=Path), help="Keep all entries in this corpus."
)
@click.option(
    "--drafts", type=click.Path(path_type=Path), help="Write a bug report a cluster that fails."
)
@click.option(
    "--max", "most", type=click.IntRange(1), default=5, show_default=True, help="Drafts at most."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def command(
    outs: tuple[str, ...],
    planted: bool,
    corpus: Path | None,
    drafts: Path | None,
    most: int,
    as_json: bool,
) -> None:
    """Merge what the campaigns in OUT... found: near duplicates clustered, each tried again.

    OUT is a campaign's folder, a corpus folder or an entry. Exit status 1 if something fails, 0 if nothing does.
    """
    paths = [path for name in outs for path in _entries(name)]
    result = triage(dict.fromkeys(paths), planted=planted)
    failing = [cluster for cluster in result.clusters if cluster.fails]
    try:
        if corpus is not None:
            merge(result.clusters, corpus)
        written = _write_drafts(failing[:most], drafts) if drafts is not None else []
    except OSError as error:
        fail(f"{error.filename or corpus or drafts}: {error.strerror}")
    if as_json:
        click.echo(json.dumps(_document(result, written), indent=2))
    else:
        _print(result, written)
    for _, why in result.unreadable:
        click.echo(f"clifhanger: {one_line(why)}", err=True)
    sys.exit(1 if failing else 0)


def _entries(name: str) -> list[Path]:
    """The entries that a campaign found, but for suspects of the executor, or those in a folder, or the one."""
    folder = Path(name)
    if not exists(folder):
        return entry_paths((name,))
    try:
        state = read(folder)
        rows = state.findings().values()
        state.close()
    except StateError as error:
        fail(str(error))
    found = [_located(Path(row.path), folder) for row in rows if row.verdict != "suspect"]
    return [path for path in found if path.exists()]


def _located(path: Path, out: Path) -> Path:
    """Where an entry is now: the journal's path may be that of another machine or working directory."""
    here = out / "corpus" / Path(*path.parts[-2:])
    beside = out.parent / Path(*path.parts[-3:])
    return next((place for place in (path, here, beside) if place.exists()), path)


def _write_drafts(clusters: list[Cluster], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for cluster in clusters:
        title, body = draft(cluster)
        path = folder / f"{cluster.best.entry.signature}.md"
        write_durably(path, f"{title}\n\n{body}")
        written.append(path)
    return written


def _print(result: Triage, written: list[Path]) -> None:
    click.echo(f"clifhanger: {result.digest}")
    for cluster in result.clusters:
        for number, specimen in enumerate(cluster.specimens):
            entry = specimen.entry
            mark = f"{specimen.verdict.verdict:<10}" if not number else " " * 8 + "= "
            click.echo(one_line(f"{mark} {entry.check} {entry.case.isa} {entry.signature} "
                                 f"{specimen.size} instructions  {specimen.path}  {entry.observed[:80]}"))  # fmt: skip
    for path in written:
        click.echo(f"clifhanger: {path}")


def _document(result: Triage, written: list[Path]) -> dict[str, object]:
    return {
        "digest": result.digest,
        "clusters": [
            [{"signature": s.entry.signature, "check": s.entry.check, "isa": s.entry.case.isa,
              "path": str(s.path), "verdict": s.verdict.verdict, "detail": s.verdict.detail,
              "instructions": s.size} for s in cluster.specimens]
            for cluster in result.clusters
        ],
        "drafts": [str(path) for path in written],
        "unreadable": [why for _, why in result.unreadable],
    }  # fmt: skip
