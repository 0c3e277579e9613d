"""``clifhanger coverage``."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from fuzzer.campaign.state import StateError, read
from fuzzer.campaign.summary import missed, out_folder, summary_of
from fuzzer.cli.common import fail, find_target
from fuzzer.corpus.store import write_durably
from fuzzer.report.badge import badge
from fuzzer.report.matrix import Matrix, matrices
from fuzzer.report.text import short


@click.command("coverage")
@click.argument("out", type=click.Path(path_type=Path), default=Path(".clifhanger"))
@click.option("--html", is_flag=True, help="Write report.html into OUT, which shows the matrix.")
@click.option("--json", "as_json", is_flag=True, help="Cells, rules and rows as one JSON object.")
@click.option("--badge", "badge_path", type=click.Path(path_type=Path), help="Write an SVG badge.")
def command(out: Path, html: bool, as_json: bool, badge_path: Path | None) -> None:
    """Show what the campaign in OUT has tried: opcodes at types, lowering rules, instruction rows; and what never."""
    folder = out_folder(out)
    try:
        state = read(folder)
    except StateError as error:
        fail(str(error))
    summary = summary_of(state, find_target(state.header.target))
    try:
        if badge_path is not None:
            tried = sum(bool(cell.count) for cell in summary.cells)
            write_durably(badge_path, badge("coverage", f"{tried}/{len(summary.cells)} forms"))
            click.echo(f"clifhanger: {badge_path}")
        if html:
            from fuzzer.report.kinds import write_reports

            for path in write_reports(("html",), summary, {}, folder):
                click.echo(f"clifhanger: {path}")
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror}")
    if as_json:
        parts = {"cells": summary.cells, "rules": summary.rules, "rows": summary.rows}
        click.echo(msgspec.json.format(msgspec.json.encode(parts), indent=2).decode())
        return
    if html or badge_path is not None:
        return
    for matrix in matrices(summary):
        _print(matrix)
    for what, fired in (("rules", summary.rules), ("instructions", summary.rows)):
        never = missed(summary, fired)
        click.echo(f"{what}: {len(fired) - len(never)} of {len(fired)} fired")
        if never:
            click.echo(f"  never: {' '.join(never)}")


def _print(matrix: Matrix) -> None:
    """Counts by opcode and type; ``.``: the target does not have it; ``NEVER``: not tried."""
    width = max([len(row.opcode) for row in matrix.rows], default=0)
    click.echo(f"{matrix.name}: {matrix.tried} of {matrix.total} forms tried")
    click.echo(f"  {'':<{width}}" + "".join(f"{type_:>8}" for type_ in matrix.types))
    for row in matrix.rows:
        cells = [
            "." if box is None else short(box.count) if box.count else "NEVER" for box in row.boxes
        ]
        click.echo(f"  {row.opcode:<{width}}" + "".join(f"{cell:>8}" for cell in cells))
