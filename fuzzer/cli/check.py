"""``clifhanger check``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from backend.errors import ClifError
from backend.ir.verifier import verify_all
from fuzzer.filetests import clif_files, read_file
from fuzzer.report.text import one_line


@click.command("check")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(paths: tuple[Path, ...]) -> None:
    """Parse and verify CLIF files: a line for each mistake, exit 2 if there is one."""
    files = functions = mistakes = 0
    for path in clif_files(paths):
        files += 1
        errors: list[ClifError] = []
        try:
            for entry in read_file(path).functions:
                functions += 1
                errors += verify_all(entry.function)
        except ClifError as unreadable:
            errors.append(unreadable)
        mistakes += len(errors)
        for error in errors:
            if error.line:
                error.path = str(path)
            click.echo(one_line(str(error)), err=True)
    if not mistakes and not functions:
        click.echo("clifhanger: nothing to check", err=True)
        sys.exit(2)
    if mistakes:
        sys.exit(2)
    click.echo(f"{functions} functions in {files} files")
