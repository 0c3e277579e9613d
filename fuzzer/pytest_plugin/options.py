"""The options in force: the command line before the ini file, checked once, one line for each mistake."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest

from fuzzer.cli.common import Duration, Seed, Shard
from fuzzer.host.client import HOST, HostError


@dataclass(frozen=True, slots=True)
class Options:
    """``target``/``isas``: empty for each entry's own. ``shard``: (k from 0, n). ``seconds``: 0 for no fuzzing,
    by ``shards`` campaigns of ``seed``. ``corpus``: None for a new folder a campaign.
    """

    target: str
    isas: tuple[str, ...]
    shard: tuple[int, int] | None
    seconds: float
    shards: int
    seed: int
    corpus: Path | None

    def __str__(self) -> str:
        """For the head of the report: what is needed to repeat the run."""
        words = [f"target {self.target}"] if self.target else []
        words += [f"isa {','.join(self.isas)}"] if self.isas else []
        words += [f"shard {self.shard[0] + 1}/{self.shard[1]}"] if self.shard else []
        if self.seconds:
            words.append(f"fuzzing {self.seconds:g}s x {self.shards}, seed {self.seed:#x}")
        words += [f"corpus {self.corpus}"] if self.corpus else []
        return ", ".join(words)


def read_options(config: pytest.Config, given: dict[str, Any]) -> Options:
    """What the run was told. UsageError with one line if that makes no sense."""
    target = given["target"] or config.getini("clif_target")
    names = given["isa"] or config.getini("clif_isa")
    isas = tuple(dict.fromkeys(name.strip() for name in names.split(","))) if names else ()
    seconds = _converted(Duration(), "--clif-time", given["time"]) if given["time"] else 0.0
    shard = _converted(Shard(), "--clif-shard", given["shard"]) if given["shard"] else None
    if shard is not None and given["shards"]:
        raise pytest.UsageError("--clif-shards: --clif-shard says already how many there are")
    for name in ("shards", "seed"):
        if given[name] and not seconds:
            raise pytest.UsageError(f"--clif-{name}: nothing is fuzzed without --clif-time")
    if seconds and not given["seed"]:
        # xdist hands the options to its workers: one campaign, one seed.
        config.option.clif_seed = given["seed"] = hex(secrets.randbits(32))
    seed = _converted(Seed(), "--clif-seed", given["seed"]) if given["seed"] else 0
    shards = shard[1] if shard else _shards(config, given["shards"])
    if not hasattr(config, "workerinput"):
        _check_names(target or ("builtin" if seconds else ""), isas)
    return Options(target, isas, shard, seconds, shards, seed, _corpus(config, given["corpus"]))


def _converted(kind: click.ParamType[Any], option: str, text: str) -> Any:
    try:
        return kind.convert(text, None, None)
    except click.UsageError as error:
        raise pytest.UsageError(f"{option}: {error.message}") from None


def _check_names(target: str, isas: tuple[str, ...]) -> None:
    """Asked of the host, since looking at a target may mean loading a compiler."""
    if not target and not isas:
        return
    try:
        about = HOST.ask({"ask": "about", "target": target})
    except HostError as error:
        raise pytest.UsageError(f"--clif-target: {target}: {error}") from None
    if "error" in about:
        raise pytest.UsageError(f"--clif-target: {about['error']}")
    for isa in isas:
        if isa not in about["isas"]:
            whose = f"{target} has" if target else "there is"
            have = ", ".join(about["isas"])
            raise pytest.UsageError(f"--clif-isa: {whose} no ISA {isa!r}; known: {have}")


def _shards(config: pytest.Config, text: str | None) -> int:
    """How many campaigns there are: as told, or one for each of xdist's workers, the same in all of them."""
    if text:
        if not text.isdecimal() or not 1 <= int(text) <= 10_000:
            raise pytest.UsageError(f"--clif-shards: {text!r} is no number from 1 to 10000")
        return int(text)
    worker = getattr(config, "workerinput", None)
    if worker is not None:
        return int(worker["workercount"])
    return getattr(config.option, "numprocesses", None) or 1


def _corpus(config: pytest.Config, text: str | None) -> Path | None:
    if text:
        return config.invocation_params.dir / text
    ini = config.getini("clif_corpus")
    return config.rootpath / ini if ini else None
