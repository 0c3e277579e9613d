"""The command line. Commands are imported when they are called, so that help is quick.

Exit status: 0 clean; 1 findings; 2 usage, configuration or internal error, or nothing was tested; 3
degraded (statistics could not be written); 130 and 143 interrupted. A user's mistake is one line, never a traceback.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from importlib import import_module
from typing import Final

import click

COMMANDS: Final[dict[str, str]] = {
    "fuzz": "Draw functions, compile them, run them, shrink and keep what breaks.",
    "replay": "Run corpus entries again: fixed, still failing, changed.",
    "bisect": "Replay an entry on every version of a compiler that is here.",
    "test": "Run the `; run:` lines of Cranelift filetests.",
    "shrink": "Make a corpus entry smaller.",
    "explain": "Say why a corpus entry fails: the first wrong value, and the stage to blame.",
    "triage": "Merge what campaigns found, tell near duplicates apart, draft bug reports.",
    "status": "Show how a campaign is doing.",
    "coverage": "Show what a campaign has tried, and what never.",
    "cmin": "Find seeds of a corpus that cover nothing of their own.",
    "compile": "Compile a function and print a stage.",
    "fmt": "Rewrite CLIF files in canonical form.",
    "check": "Parse and verify CLIF files.",
    "list": "List targets, ISAs, checks, opcodes or planted bugs.",
    "selftest": "Plant bugs in the builtin backend and see that each is found.",
    "doctor": "Say what works here and what is missing.",
}


_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class _NobodyReads(Exception):
    """Standard output was closed. Under a name of our own, since Click would exit with 1."""


class _Lazy(click.Group):
    """Commands by name; a command's module is imported when it is run or asked for its help.

    The modules are attributes of this package: ``list`` and ``compile`` are not the builtins here.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        found: click.Command = import_module(f"fuzzer.cli.{name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([*COMMANDS.items()])

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as error:
            raise _NobodyReads from error
        except Exception as error:
            # A damaged journal may show at any time. Nobody raises this who has not imported it.
            state = sys.modules.get("fuzzer.campaign.state")
            if state is not None and isinstance(error, state.StateError):
                from fuzzer.cli.common import fail

                fail(str(error))
            raise


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="clifhanger")
def cli() -> None:
    """A property-based differential fuzzer for compiler backends."""


def main() -> None:
    """The entry point: a broken pipe is no error, an interrupt is 130.

    Click's own handling of both would exit with 1, which here means findings.
    """
    try:
        status = cli.main(prog_name="clifhanger", standalone_mode=False)
        sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (BrokenPipeError, _NobodyReads):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(141)
    except OSError as error:
        # Of files, commands have said it themselves.
        if error.filename is not None or error.errno not in _NO_ROOM:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"clifhanger: standard output: {error.strerror}", file=sys.stderr)
        sys.exit(3)
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except SystemExit:
        # All is said and kept: an interrupt from here on could only change the status.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise
    sys.exit(status or 0)
