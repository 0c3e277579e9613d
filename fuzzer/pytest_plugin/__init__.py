"""The pytest plugin: corpus entries as tests, campaigns as tests, a fixture for one function.

Registered as entry point ``pytest11``, so every run of pytest where Clifhanger is installed imports this
file: it imports pytest and the standard library, and the rest only when a ``.clif`` file or an option of
ours is met. Invariants:

- The compiler under test never runs in a process of pytest's: see :mod:`fuzzer.host`.
- All workers of xdist collect the same items in the same order: nothing of an item depends on the worker's
  name, the clock, or what is on disk beyond the files collected.
- A file that is not ours is left to others, and one that is ours but broken is one failing test.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from fuzzer.pytest_plugin.options import Options

_NAMES: Final = ("target", "isa", "shard", "time", "seed", "shards", "corpus")
_INI: Final = ("target", "isa", "corpus")
OPTIONS: Final[pytest.StashKey[Options]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("clifhanger", "clifhanger: fuzzing compiler backends")
    add = group.addoption
    add("--clif-target", metavar="NAME", help="who compiles; by default each entry's own target")
    add(
        "--clif-isa", metavar="ISA[,ISA]", help="replay for these ISAs; by default each entry's own"
    )
    add("--clif-shard", metavar="K/N", help="only the K-th of N shares of the entries, K from 1")
    add("--clif-time", metavar="TIME", help="also fuzz for so long: 60s, 10m, 8h; one test a shard")
    add(
        "--clif-shards",
        metavar="N",
        help="how many shards --clif-time has; default: xdist's workers",
    )
    add("--clif-seed", metavar="S", help="seed of the campaign; drawn if not given, always printed")
    add("--clif-corpus", metavar="DIR", help="where fuzzing keeps entries and knows them from; "
        "by default a new folder below pytest's cache")  # fmt: skip
    parser.addini("clif_target", "default of --clif-target", default="")
    parser.addini("clif_isa", "default of --clif-isa", default="")
    parser.addini("clif_corpus", "default of --clif-corpus, relative to the rootdir", default="")


def pytest_configure(config: pytest.Config) -> None:
    given = {name: config.getoption(f"clif_{name}") for name in _NAMES}
    if any(given.values()) or any(config.getini(f"clif_{name}") for name in _INI):
        from fuzzer.pytest_plugin.options import read_options

        config.stash[OPTIONS] = read_options(config, given)


def pytest_unconfigure() -> None:
    client = sys.modules.get("fuzzer.host.client")
    if client is not None:
        client.HOST.close()


def pytest_report_header(config: pytest.Config) -> str | None:
    options = config.stash.get(OPTIONS, None)
    return None if options is None else f"clifhanger: {options}"


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    if file_path.suffix != ".clif":
        return None
    from fuzzer.pytest_plugin.entries import EntryFile, is_entry

    return EntryFile.from_parent(parent, path=file_path) if is_entry(file_path) else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(
    session: pytest.Session, config: pytest.Config, items: list[pytest.Item]
) -> None:
    options = config.stash.get(OPTIONS, None)
    if options is not None and options.shard is not None:
        from fuzzer.pytest_plugin.entries import keep_shard

        keep_shard(items, config, *options.shard)
    if options is not None and options.seconds:
        from fuzzer.pytest_plugin.campaigns import add_campaigns

        add_campaigns(session, options, items)


@pytest.fixture
def clif() -> Callable[..., Any]:
    """Check one function: ``clif(text, *inputs)`` compiles it, runs it on each input in a process of its
    own, and gives the outcomes; AssertionError if any rule is broken. See :func:`fuzzer.testing.check`.
    """
    from fuzzer.pytest_plugin.fixture import check_or_skip

    return check_or_skip
