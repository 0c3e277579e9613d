"""Campaigns as tests: one a shard, each ``clifhanger fuzz`` in a process of its own.

The items of a run depend on how many shards there are and on nothing else, so that every worker of xdist has
the same; which worker runs which is xdist's business. They are spread over the list of items, so that
``--dist worksteal``, which deals out contiguous parts, deals each worker one.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

import pytest

from fuzzer.host.client import known_targets, python
from fuzzer.pytest_plugin.options import Options

_FINISH: Final = 90.0
"""Seconds a campaign may go on after its time: it shrinks what it has found."""
_LEAVE: Final = 30.0
"""Seconds a campaign gets to save its findings when the run is interrupted."""


def add_campaigns(session: pytest.Session, options: Options, items: list[pytest.Item]) -> None:
    """Put the run's campaigns among its items."""
    group = _Campaigns.from_parent(session, name="clifhanger", nodeid="clifhanger")
    mine = range(options.shards) if options.shard is None else [options.shard[0]]
    made = [
        CampaignItem.from_parent(
            group, name=f"fuzz[{shard + 1}-of-{options.shards}]", options=options, shard=shard
        )
        for shard in mine
    ]
    before = len(items)
    for place, item in reversed(list(enumerate(made))):
        items.insert(place * before // len(made), item)


class _Campaigns(pytest.Collector):
    """What the campaigns of a run hang from."""

    def collect(self) -> list[pytest.Item]:
        return []


class CampaignItem(pytest.Item):
    """One campaign. ``shard`` from 0."""

    def __init__(self, *, options: Options, shard: int, **rest: Any) -> None:
        super().__init__(**rest)
        self.options = options
        self.shard = shard

    def reportinfo(self) -> tuple[Path, int | None, str]:
        return self.config.rootpath, None, f"clifhanger {self.name}"

    def runtest(self) -> None:
        out = self._folder()
        shutil.rmtree(out, ignore_errors=True)
        status, text = _run(self._arguments(out), self.options.seconds + _FINISH)
        if status == 0:
            self.add_report_section("call", "clifhanger", text)
            if self.options.corpus is None:
                shutil.rmtree(out, ignore_errors=True)
            return
        found = [line for line in text.splitlines() if line.startswith(("FOUND ", "  replay:  "))]
        count = sum(line.startswith("FOUND ") for line in found)
        if status == 1 and count:
            head = f"{count} finding{'s' if count > 1 else ''}, seed {self.options.seed:#x}"
            pytest.fail("\n".join([head, *found]), pytrace=False)
        self.add_report_section("call", "clifhanger", text)
        pytest.fail(f"the campaign ended with {_ending(status)}", pytrace=False)

    def _folder(self) -> Path:
        """A folder of this campaign's own; in the cache, the same for the same seed and shard."""
        cache = getattr(self.config, "cache", None)
        root = (
            tempfile.mkdtemp(prefix="clifhanger-") if cache is None else cache.mkdir("clifhanger")
        )
        return Path(root, f"{self.options.seed:#x}-{self.shard + 1}-of-{self.options.shards}")

    def _arguments(self, out: Path) -> list[str]:
        options = self.options
        arguments = [
            "fuzz", "--no-ui", "--time", f"{options.seconds:g}s", "--seed", str(options.seed),
            "--shard", f"{self.shard + 1}/{options.shards}", "--out", str(out),
            "--corpus", str(options.corpus or out / "corpus"),
        ]  # fmt: skip
        arguments += ["--target", options.target] if options.target else []
        return arguments + (["--isa", ",".join(options.isas)] if options.isas else [])


def _ending(status: int) -> str:
    if status < 0:
        return signal.Signals(-status).name
    return "no answer in time" if status == _LATE else f"exit status {status}"


_LATE: Final = 1 << 10
"""Stands for the exit status of what had to be killed."""


def _run(arguments: list[str], seconds: float) -> tuple[int, str]:
    """Exit status and output of ``clifhanger`` with ``arguments``."""
    command = python("fuzzer.pytest_plugin.campaigns:main", str(os.getpid()),
                     json.dumps(known_targets()), *arguments)  # fmt: skip
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace", process_group=0)  # fmt: skip
    try:
        text, _ = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return _LATE, process.communicate()[0]
    except BaseException:  # an interrupt, which it has not heard of: let it save what it has found
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=_LEAVE)
        process.kill()
        process.wait()
        raise
    return process.returncode, text


def main() -> None:
    """The campaign's process: ends with pytest's, and knows the targets that a conftest.py added."""
    from fuzzer.campaign.isolated import die_with_parent
    from fuzzer.cli import main as command_line
    from fuzzer.targets import TARGETS, Row

    die_with_parent(int(sys.argv.pop(1)))
    TARGETS.update({name: Row(*row) for name, row in json.loads(sys.argv.pop(1)).items()})
    sys.argv[0] = "clifhanger"
    command_line()
