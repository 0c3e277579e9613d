"""A whole file of CLIF: header commands, functions, run lines, and the comments between them.

The format is Cranelift's filetest. Run lines are comments that begin with the word ``run`` or
``print``; they belong to the function before them, whatever name they call, and their values are
typed by its signature. In a file whose header has ``test`` commands but neither ``test run`` nor
``test interpret``, they are comments like any other.

Nothing a person wrote is lost by printing: comments keep what they stand before or behind.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from backend.errors import ParseError
from backend.ir.cursor import Cursor
from backend.ir.entities import Block, Function, Signature
from backend.ir.lexer import Comment, Tokens
from backend.ir.parser import Anchor, FunctionParser, Parsed
from backend.ir.printer import INDENT, function_lines
from backend.ir.types import Type

_ARGUMENTS: Final = {
    "test": re.compile(r"test\s+\S.*"),
    "set": re.compile(r"set\s+\S.*"),
    "target": re.compile(r"target\s+\S.*"),
    "feature": re.compile(r'feature\s+!?\s*"[^"]*"'),
}
"""The header's commands and how a line of each looks."""


@dataclass(slots=True)
class Command:
    """One line of the header: ``words`` as written, ``comment`` behind it or ""."""

    words: tuple[str, ...]
    line: int
    comment: str = ""

    @property
    def kind(self) -> str:
        return self.words[0]


@dataclass(slots=True)
class RunLine:
    """``; run: %f(args) == expected``.

    ``kind``: ``run`` or ``print``. ``args`` and ``expected``: unsigned bits of the signature's types.
    ``compare``: ``==``, ``!=``, ``nonzero`` (a bare ``; run``) or "" (``print``).
    """

    kind: str
    name: str
    args: tuple[int, ...]
    compare: str
    expected: tuple[int, ...]
    text: str
    line: int
    column: int

    def holds(self, values: tuple[int, ...]) -> bool:
        """Do the values returned satisfy this line? A ``print`` is always satisfied."""
        if self.compare == "==":
            return values == self.expected
        if self.compare == "!=":
            return values != self.expected
        return self.compare == "" or any(values)


@dataclass(slots=True)
class FileFunction:
    """A function with what stands around it.

    ``before``: comment lines above it, "" for a blank line. ``inside``: comments by what they stand at:
    lines above it, and the one behind it. ``after``: the comment lines below, run lines among them.
    """

    function: Function
    before: list[str] = field(default_factory=list)
    above: dict[Anchor, list[str]] = field(default_factory=dict)
    behind: dict[Anchor, str] = field(default_factory=dict)
    after: list[str] = field(default_factory=list)
    run_lines: list[RunLine] = field(default_factory=list)


@dataclass(slots=True)
class FileTest:
    """A parsed file. ``header``: commands, comments and blank lines in order, and all there is in a file
    without functions."""

    path: str
    header: list[Command | str] = field(default_factory=list)
    functions: list[FileFunction] = field(default_factory=list)

    def commands(self, kind: str) -> list[Command]:
        """The header's commands of a kind: ``test``, ``set``, ``target`` or ``feature``."""
        return [c for c in self.header if isinstance(c, Command) and c.kind == kind]

    @property
    def runs(self) -> bool:
        """Are its run lines commands?"""
        tests = self.commands("test")
        return not tests or any(t.words[1] in ("run", "interpret") for t in tests)


def parse_file(text: str, path: str = "") -> FileTest:
    """The file; ParseError with path, line and column at the first mistake."""
    return _FileParser(text, path).parse()


class _FileParser:
    def __init__(self, text: str, path: str) -> None:
        self.text = text
        self.path = path
        self.file = FileTest(path)

    def parse(self) -> FileTest:
        parser = FunctionParser(Tokens(self.text, self.path, self._header()))
        parsed: list[Parsed] = []
        while parser.text == "function":
            parsed.append(parser.parse())
        if parser.text:
            parser.expected("a function" if not parsed else "a function or the end of the file")
        tokens = parser.tokens
        comments = tokens.comments
        runs = self.file.runs
        at = 0
        for index, item in enumerate(parsed):
            last = index + 1 == len(parsed)
            leading, at = _until(comments, at, item.first)
            inner, at = _until(comments, at, item.last)
            trailing, _ = _until(
                comments, at, len(tokens.texts) if last else parsed[index + 1].first
            )
            if trailing and not trailing[0].alone:
                inner.append(trailing.pop(0))
                at += 1
            trailing = trailing[: len(trailing) if last else self._belonging(trailing, runs)]
            at += len(trailing)
            entry = FileFunction(item.function, _lines(leading), after=_lines(trailing))
            self._attach(entry, item, inner)
            if runs:
                for comment in (*inner, *trailing):
                    self._run_line(entry, comment, tokens)
            self.file.functions.append(entry)
        if not parsed:
            self.file.header += _lines(comments)
        return self.file

    # -- the header ------------------------------------------------------------------------------------------

    def _header(self) -> int:
        """Read the lines of commands; the offset where the functions, or comments above one, begin."""
        header, text = self.file.header, self.text
        at = number = 0
        pending: list[str] = []
        begin = 0
        while at < len(text):
            end = text.find("\n", at)
            end = len(text) if end < 0 else end
            number += 1
            line = text[at:end].strip()
            if line and line[0] != ";":
                code, semicolon, rest = line.partition(";")
                words = tuple(code.split())
                if words[0] not in _ARGUMENTS:
                    break
                if not _ARGUMENTS[words[0]].fullmatch(code.strip()):
                    raise ParseError(f"{words[0]} needs an argument", path=self.path, line=number,
                                     column=text[at:end].index(words[0]) + 1)  # fmt: skip
                header += pending
                header.append(Command(words, number, (semicolon + rest).rstrip()))
                pending, begin = [], end + 1
            else:
                pending.append(line)
            at = end + 1
        kinds = [command.kind for command in header if isinstance(command, Command)]
        if "target" in kinds and "set" in kinds[len(kinds) - kinds[::-1].index("target") :]:
            line_of = self.file.commands("set")[-1].line
            raise ParseError("set after the last target", path=self.path, line=line_of, column=1)
        return min(begin, len(text))

    # -- comments -------------------------------------------------------------------------------------------------

    @staticmethod
    def _belonging(comments: list[Comment], runs: bool) -> int:
        """How many comments after a function belong to it: to its last run line, or to a blank line."""
        keep = 0
        while keep < len(comments) and not comments[keep].after_blank:
            keep += 1
        if runs:
            for index in range(len(comments) - 1, keep - 1, -1):
                if _command_word(comments[index].text):
                    return index + 1
        return keep

    @staticmethod
    def _attach(entry: FileFunction, item: Parsed, comments: list[Comment]) -> None:
        """Put each comment inside a function above or behind a part of it."""
        spans = item.spans
        at = 0
        for comment in comments:
            token = comment.token if comment.alone else comment.token - 1
            while at + 1 < len(spans) and spans[at][1] < token:
                at += 1
            _, last, anchor = spans[at]
            if anchor is None:
                place = at
                while spans[place][2] is None:
                    place += 1
                following = spans[place][2]
                assert following is not None  # the last span is the closing brace
                entry.above.setdefault(following, []).append(comment.text)
            elif not comment.alone and token == last and anchor not in entry.behind:
                entry.behind[anchor] = comment.text
            elif anchor == "open":
                following = spans[1][2] if spans[1][2] is not None else "close"
                entry.above.setdefault(following, []).append(comment.text)
            else:
                entry.above.setdefault(anchor, []).append(comment.text)

    def _run_line(self, entry: FileFunction, comment: Comment, tokens: Tokens) -> None:
        if not _command_word(comment.text):
            return
        end = comment.offset + len(comment.text)
        inner = Tokens(self.text, self.path, comment.offset + _semicolons(comment.text), end)
        line, column = tokens.place(comment.offset)
        parser = _RunLineParser(inner, entry.function)
        entry.run_lines.append(parser.parse(comment.text, line, column))


def _until(comments: list[Comment], at: int, token: int) -> tuple[list[Comment], int]:
    """The comments from position ``at`` that stand before a token or an earlier one, and what follows."""
    stop = at
    while stop < len(comments) and comments[stop].token <= token:
        stop += 1
    return comments[at:stop], stop


def _semicolons(comment: str) -> int:
    return len(comment) - len(comment.lstrip("; \t"))


_COMMAND: Final = re.compile(r"[;\s]*(?:run|print)(?=[\s:]|$)")


def _command_word(comment: str) -> bool:
    """Does a comment begin with the word ``run`` or ``print``?"""
    return _COMMAND.match(comment) is not None


def _lines(comments: list[Comment]) -> list[str]:
    lines: list[str] = []
    for comment in comments:
        if comment.after_blank and lines:
            lines.append("")
        lines.append(comment.text)
    return lines


class _RunLineParser(Cursor):
    """Reads one run line against a function's signature."""

    __slots__ = ("_name", "_signature")

    def __init__(self, tokens: Tokens, function: Function) -> None:
        super().__init__(tokens)
        self._signature: Signature = function.signature
        self._name = function.name

    def parse(self, text: str, line: int, column: int) -> RunLine:
        kind = self.next()
        if kind == "run" and self.text != ":":
            returns = self._signature.returns
            if (
                self.text
                or self._signature.params
                or len(returns) != 1
                or not returns[0].type.is_int
            ):
                self.fail(
                    "a bare run needs a function of type () -> iN; else write run: %f(..) == .."
                )
            return RunLine(kind, self._name, (), "nonzero", (), text, line, column)
        self.take(":")
        if self.text[:1] != "%":
            self.expected("the function's %name")
        name = self.next()
        self.take("(")
        args = self._values([param.type for param in self._signature.params], ")")
        self.take(")")
        compare = ""
        expected: tuple[int, ...] = ()
        if kind == "run":
            if self.text not in ("==", "!="):
                self.expected("'==' or '!='")
            compare = self.next()
            expected = self._returns([param.type for param in self._signature.returns])
        if self.text:
            self.expected("the end of the run line")
        return RunLine(kind, name, args, compare, expected, text, line, column)

    def _returns(self, types: list[Type]) -> tuple[int, ...]:
        if len(types) == 1:
            return (self._value(types[0]),)
        self.take("[")
        values = self._values(types, "]")
        self.take("]")
        return values

    def _values(self, types: list[Type], closing: str) -> tuple[int, ...]:
        values: list[int] = []
        for index, type_ in enumerate(types):
            if index:
                if self.text == closing:
                    self.fail(f"{len(types)} values are needed, {index} are given")
                self.take(",")
            values.append(self._value(type_))
        if self.text != closing:
            self.expected(f"'{closing}' after {len(types)} values")
        return tuple(values)

    def _value(self, type_: Type) -> int:
        if type_.is_vector:
            return int.from_bytes(self.vector(type_), "little")
        if type_.is_int:
            return self.integer(type_.bits)
        return self.float_bits(type_.bits)


# -- printing ------------------------------------------------------------------------------------------------------


def print_file(file: FileTest) -> str:
    """Canonical text of a file: commands as written with single blanks, functions as the printer has
    them, comments where they belong, one blank line between functions."""
    parts: list[str] = []
    if file.header:
        parts.append("\n".join(_header_lines(file)))
    parts += ["\n".join(_file_function_lines(entry)) for entry in file.functions]
    text = "\n\n".join(parts)
    return text + "\n" if text else ""


def _header_lines(file: FileTest) -> Iterator[str]:
    previous = ""
    lines: list[str] = []
    for item in file.header:
        if isinstance(item, Command):
            line = " ".join(item.words) + (f" {item.comment}" if item.comment else "")
        else:
            line = item
        if line or (previous and lines):
            lines.append(line)
        previous = line
    while lines and not lines[-1]:
        lines.pop()
    yield from lines


def _file_function_lines(entry: FileFunction) -> Iterator[str]:
    yield from entry.before
    for line, anchor in function_lines(entry.function):
        if anchor is None:
            yield line
            continue
        indent = "" if isinstance(anchor, Block) else INDENT
        for comment in entry.above.get(anchor, ()):
            yield indent + comment
        behind = entry.behind.get(anchor)
        yield f"{line} {behind}" if behind else line
    yield from entry.after
