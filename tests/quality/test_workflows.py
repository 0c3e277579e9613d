"""GitHub's workflows: valid by their schema, their scripts by bash, their commands by our own command line."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from jsonschema import Draft7Validator

from tests.schemas import validator

_ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((_ROOT / ".github" / "workflows").glob("*.yml"))
_EXPRESSION = re.compile(r"\$\{\{.*?\}\}")


def schema() -> Draft7Validator:
    return validator("workflow_dispatch", "properties.jobs", "definitions.concurrency")


def load(path: Path) -> dict[str, Any]:
    document: dict[Any, Any] = yaml.safe_load(path.read_text())
    document["on"] = document.pop(True)  # YAML 1.1 takes the word for a truth value
    return document


def scripts(document: dict[str, Any]) -> Iterator[str]:
    for job in document["jobs"].values():
        for step in job["steps"]:
            if "run" in step:
                yield step["run"]


def commands(script: str) -> Iterator[list[str]]:
    """The words of every call of clifhanger."""
    plain = _EXPRESSION.sub("1", script.replace("\\\n", " "))
    for line in plain.splitlines():
        words = shlex.split(line, comments=True)
        if "clifhanger" in words:
            rest = words[words.index("clifhanger") + 1 :]
            ends = [i for i, word in enumerate(rest) if word in ("|", "||", "&&", ">", ";")]
            yield rest[: min(ends, default=len(rest))]


def test_there_are_some() -> None:
    assert [path.name for path in WORKFLOWS] == ["ci.yml", "nightly.yml"]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_it_is_a_workflow(path: Path) -> None:
    errors = schema().iter_errors(load(path))
    assert [f"{error.json_path}: {error.message}" for error in errors] == []


def test_the_schema_refuses_what_is_wrong() -> None:
    wrong = load(WORKFLOWS[0])
    wrong["jobs"]["test"]["step"] = []
    assert not schema().is_valid(wrong)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_its_scripts_are_bash(path: Path) -> None:
    for script in scripts(load(path)):
        done = subprocess.run(["bash", "-n"], input=_EXPRESSION.sub("1", script), text=True, capture_output=True,
                              check=False)  # fmt: skip
        assert done.stderr == ""


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_its_commands_have_the_options_it_gives(path: Path) -> None:
    found = [words for script in scripts(load(path)) for words in commands(script)]
    assert found
    for name, *words in found:
        command: click.Command = import_module(f"fuzzer.cli.{name}").command
        known = {option for param in command.params for option in param.opts}
        given = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
        assert given <= known | {"--"}


def test_a_workflow_reads_only_unless_it_says_why() -> None:
    for path in WORKFLOWS:
        assert load(path)["permissions"] == {"contents": "read"}


def test_issues_are_filed_by_what_triage_drafts() -> None:
    nightly = load(_ROOT / ".github" / "workflows" / "nightly.yml")
    steps = "\n".join(scripts({"jobs": {"merge": nightly["jobs"]["merge"]}}))
    assert "--drafts drafts --max 5" in steps
    assert 'gh issue create --title "$(head -n 1 "$draft")"' in steps
    assert nightly["jobs"]["merge"]["permissions"]["issues"] == "write"
