"""A summary as JSON, for programs: the same summary gives the same bytes.

The document is the :class:`~fuzzer.report.summary.Summary` field by field with a ``schema`` number in front, which
changes whenever a field is renamed, removed or means something else. A new field with a default leaves it.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from fuzzer.report.exhibit import Report
from fuzzer.report.summary import Summary
from fuzzer.report.text import visible

SCHEMA: Final = 1


class DocumentError(Exception):
    """A text that is no summary: says in one line where and why."""


class _Document(Summary, tag_field="schema", tag=SCHEMA):
    """A Summary that carries the schema's number."""


def render(report: Report) -> str:
    """``report.json``."""
    return to_json(report.summary)


def to_json(summary: Summary) -> str:
    """The document, indented by two, ending in a line break; keys in the order of the fields, names of options and
    reasons sorted. Half a surrogate pair, which UTF-8 can't hold, is spelt out.
    """
    document = _Document(**msgspec.structs.asdict(summary))
    try:
        data = msgspec.json.encode(document, order="deterministic")
    except UnicodeEncodeError:
        data = msgspec.json.encode(
            _well_formed(msgspec.to_builtins(document)), order="deterministic"
        )
    return msgspec.json.format(data, indent=2).decode() + "\n"


def from_json(text: str | bytes) -> Summary:
    """The summary that a document holds; DocumentError if it holds none."""
    try:
        document = msgspec.json.decode(text, type=_Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DocumentError(f"no report of schema {SCHEMA}: {error}") from None
    return Summary(**msgspec.structs.asdict(document))


def _well_formed(value: Any) -> Any:
    """Builtins whose strings UTF-8 can hold."""
    if isinstance(value, dict):
        return {_well_formed(key): _well_formed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_well_formed(item) for item in value]
    if isinstance(value, str) and any("\ud800" <= c <= "\udfff" for c in value):
        return visible(value)
    return value
