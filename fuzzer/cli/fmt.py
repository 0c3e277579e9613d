"""``clifhanger fmt``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from backend.errors import ClifError
from backend.ir.filetest import print_file
from fuzzer.corpus.entry import read_text
from fuzzer.corpus.store import write_durably
from fuzzer.filetests import clif_files, read_file
from fuzzer.report.text import one_line


@click.command("fmt")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--check", is_flag=True, help="Change nothing; exit 1 if a file is not canonical.")
def command(paths: tuple[Path, ...], check: bool) -> None:
    """Rewrite CLIF files in canonical form, comments kept.

    A file is replaced whole or, if anything is wrong with it, left alone.
    """
    changed = 0
    failed = False
    for path in clif_files(paths):
        try:
            canonical = print_file(read_file(path))
            if canonical == read_text(path):
                continue
            if not check:
                write_durably(path.resolve(), canonical)
        except ClifError as error:
            failed = True
            click.echo(one_line(str(error)), err=True)
            continue
        except OSError as error:
            failed = True
            click.echo(one_line(f"{path}: {error.strerror or error}"), err=True)
            continue
        changed += 1
        click.echo(one_line(f"{path}{': not canonical' if check else ''}"))
    sys.exit(2 if failed else 1 if check and changed else 0)
