"""CLIF text to tokens, in one pass of one regular expression, with a place for every token.

A token is an index into three parallel lists (kind, text, offset), so that a 1 MB file costs no
objects but strings. Comments are no tokens: they are kept aside with the index of the token they
come before. A character that begins no token is a token of kind ERROR, so that it is reported when
the parser gets there and not before an earlier mistake. Tokenising never fails and is linear.

Source: section 2 of the language's facts; Cranelift's reader lexes the same tokens.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final, NamedTuple

from backend.errors import ParseError

WORD: Final = "word"
"""Keywords, opcodes, types, numbered entities: ``iadd``, ``i32x4``, ``v7``."""
NUMBER: Final = "number"
NAME: Final = "name"
"""``%f``"""
STRING: Final = "string"
SRCLOC: Final = "srcloc"
"""``@00de``"""
PUNCT: Final = "punct"
ERROR: Final = "error"
END: Final = "end"

_TOKENS: Final = re.compile(
    r"""
      [ \t\r\n\f\v]+
    | (?P<comment> ;[^\n]* )
    | (?P<number> [+-]?NaN(?::[0-9A-Za-z_]*)? | [+-]sNaN(?::[0-9A-Za-z_]*)? | [+-]?Inf(?![0-9A-Za-z_])
        | [+-]?[0-9](?:[0-9A-Za-z_.] | (?<=[pP])[+-])* )
    | (?P<word> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<name> %[A-Za-z0-9_]+ )
    | (?P<punct> -> | == | != | [(){}\[\]<>,.:=*!] )
    | (?P<srcloc> @[0-9A-Fa-f]+ )
    | (?P<string> "[^"\n]*" )
    | (?P<at> @ )
    | (?P<error> . )
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)


class Comment(NamedTuple):
    """``text`` with its semicolon, without trailing blanks. ``token``: index of the token after it.

    ``alone``: nothing but blanks stands before it on its line. ``after_blank``: an empty line does.
    """

    text: str
    offset: int
    token: int
    alone: bool
    after_blank: bool


class Tokens:
    """All tokens of a text from ``start`` on; the last has kind END.

    ``path`` and positions go into every error; ``place(offset)`` gives line and column from 1.
    """

    __slots__ = ("_lines", "comments", "kinds", "offsets", "path", "text", "texts")

    def __init__(self, text: str, path: str = "", start: int = 0, end: int | None = None) -> None:
        self.text = text
        self.path = path
        self.kinds: list[str] = []
        self.texts: list[str] = []
        self.offsets: list[int] = []
        self.comments: list[Comment] = []
        self._lines: list[int] | None = None
        limit = len(text) if end is None else end
        self._scan(start, limit)
        self.kinds.append(END)
        self.texts.append("")
        self.offsets.append(limit)

    def _scan(self, start: int, end: int) -> None:
        kinds, texts, offsets = self.kinds, self.texts, self.offsets
        match_at = _TOKENS.match
        text, at = self.text, start
        while at < end:
            match = match_at(text, at, end)
            assert match is not None  # the pattern's last alternative takes any character
            kind = match.lastgroup
            if kind == "comment":
                self._comment(match.group(), at)
            elif kind is not None:
                kinds.append(PUNCT if kind == "at" else kind)
                texts.append(match.group())
                offsets.append(at)
            at = match.end()

    def _comment(self, text: str, offset: int) -> None:
        line_start = self.text.rfind("\n", 0, offset) + 1
        alone = not self.text[line_start:offset].strip()
        after_blank = False
        if alone and line_start:
            before = self.text.rfind("\n", 0, line_start - 1) + 1
            after_blank = not self.text[before : line_start - 1].strip()
        self.comments.append(Comment(text.rstrip(), offset, len(self.kinds), alone, after_blank))

    def place(self, offset: int) -> tuple[int, int]:
        """(line, column) of a character, both from 1."""
        if self._lines is None:
            self._lines = [0] + [m.end() for m in re.finditer("\n", self.text)]
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def error(self, message: str, offset: int) -> ParseError:
        """A ParseError at a character."""
        line, column = self.place(offset)
        return ParseError(message, path=self.path, line=line, column=column)
