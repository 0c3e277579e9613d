"""``clifhanger list``."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

import click

Rows = list[tuple[str, ...]]


def _targets() -> Rows:
    from fuzzer.targets import TARGETS, TargetUnavailable, target_named, versions_here

    rows: Rows = [("target", "isas", "version", "what")]
    named = [(each, row) for name, row in TARGETS.items() for each in (name, *versions_here(name))]
    for name, row in named:
        try:
            target = target_named(name)
            rows.append((name, ",".join(target.isas), target.version, row.doc))
        except TargetUnavailable as error:
            rows.append(
                (name, "", "", row.doc) if row.argument else (name, "", "not installed", str(error))
            )
    return rows


def _isas() -> Rows:
    from fuzzer.execute.machines import MACHINES
    from fuzzer.targets import TARGETS, TargetUnavailable, target_named

    users: dict[str, list[str]] = {isa: [] for isa in MACHINES}
    for name in TARGETS:
        try:
            for isa in target_named(name).isas:
                users.setdefault(isa, []).append(name)
        except TargetUnavailable:
            continue
    return [
        ("isa", "run", "targets"),
        *(
            (isa, "yes" if isa in MACHINES else "no", ",".join(names))
            for isa, names in users.items()
        ),
    ]


def _checks() -> Rows:
    from fuzzer.checks import CHECKS

    return [("check", "when", "what must hold"),
            *((c.name, "sampled" if c.costly else "always", c.doc) for c in CHECKS.values())]  # fmt: skip


def _opcodes() -> Rows:
    from backend.ir.opcodes import OPCODES

    return [("opcode", "signature", "what it does"),
            *((op.name, f"{' '.join(op.operands)} -> {' '.join(op.results)}", op.doc)
              for op in OPCODES)]  # fmt: skip


def _bugs() -> Rows:
    from fuzzer.selftest.bugs import BUGS

    return [("bug", "class", "isa", "check", "limit", "what is wrong"),
            *((b.name, b.cls, b.isa, b.check, str(b.limit), b.doc) for b in BUGS.values())]  # fmt: skip


LISTS: Final[dict[str, Callable[[], Rows]]] = {
    "targets": _targets, "isas": _isas, "checks": _checks, "opcodes": _opcodes, "bugs": _bugs,
}  # fmt: skip


@click.command("list")
@click.argument("what", type=click.Choice(list(LISTS)))
@click.option("--json", "as_json", is_flag=True, help="One JSON array of objects.")
def command(what: str, as_json: bool) -> None:
    """List targets, ISAs, checks, opcodes or planted bugs."""
    header, *rows = LISTS[what]()
    if as_json:
        click.echo(json.dumps([dict(zip(header, row, strict=True)) for row in rows], indent=2))
        return
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    for row in (header, *rows):
        click.echo(
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
