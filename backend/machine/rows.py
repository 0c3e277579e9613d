"""Rows of an instruction table: one object an instruction, from which everything else follows.

``Row`` is made from an assembly text with typed fields and a bit pattern::

    Row("add_rr.x", "add {d:x}, {n:x}, {m:x}", "10001011000 m 000000 n d", kinds)

The text is in Capstone's syntax, so what was emitted can be held against what was meant. Fields stand in
``MInst.ops`` in the order of the text. A register field whose name begins with ``d`` is defined, any other
one is used. ``extra`` fields come behind and are not printed: the trap code of a load, the ``else``
of a branch, the tied input of an instruction that overwrites it.

Rows are mutable on purpose: :meth:`Row.recompile` replaces a pattern or a text, which is how the selftest
plants a bug.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from backend.errors import InternalError
from backend.machine.encoding import Encode, Encoding, Field, Kind, compile_pattern
from backend.machine.vcode import DEF, USE, Operand

Text = Callable[[Sequence[int]], str]
Notation = Callable[[str, Sequence[Field], int], Encoding]
"""Compiles a pattern: :func:`backend.machine.encoding.compile_pattern`, or one of another notation."""

# What a row does to control flow.
NEXT: Final = 0
JUMP: Final = 1
"""Goes to the block ``ops[0]``."""
BRANCH: Final = 2
"""``ops[-2]``: the block if the condition holds (or ``-1 - trap code``), ``ops[-1]``: the block if not."""
LEAVE: Final = 3
"""Ends the block in a way of its own: a return, a trap, a jump table."""

_TEXTS: Final = 1 << 10
"""Texts that a row remembers."""
_FIELD: Final = re.compile(r"\{(\w+):(\w+)\}")


class Row:
    """One instruction. ``index``: its number in the table, -1 until it is in one.

    ``flow``: NEXT, JUMP, BRANCH or LEAVE. ``traps``: ``ops[-1]`` is a trap code's number, or -1.
    ``label``: position in ``ops`` of the label that is patched into the word, or -1, and ``use`` the
    name of its label use. ``inverse``: the row of the opposite branch; ``short``: that of this one's short form, of the
    same fields, or None. ``pseudo``: expanded by the ISA when it is emitted. ``aliases``: (condition over field names,
    text): what a disassembler prints instead where the condition holds.
    """

    __slots__ = ("_printed", "_text", "_texts", "aliases", "encode", "fields", "flow", "index",
                 "inverse", "is_move", "label", "mask", "match", "name", "notation", "operands",
                 "pattern", "pseudo", "short", "template", "tie", "traps", "use")  # fmt: skip

    def __init__(
        self,
        name: str,
        template: str,
        pattern: str,
        kinds: Mapping[str, Kind],
        *,
        extra: str = "",
        tied: str = "",
        flow: int = NEXT,
        aliases: tuple[tuple[str, str], ...] = (),
        is_move: bool = False,
        notation: Notation = compile_pattern,
    ) -> None:
        fields = [Field(m[1], kinds[m[2]]) for m in _FIELD.finditer(template)]
        self._printed = len(fields)
        fields += [Field(*_split(word, kinds)) for word in extra.split()]
        self.name = name
        self.index = -1
        self.fields = tuple(fields)
        self.flow = flow
        self.is_move = is_move
        self.inverse: Row = self
        self.short: Row | None = None
        self.pseudo = not pattern
        self.traps = bool(fields) and fields[-1].name == "trap"
        places = [i for i, field in enumerate(fields) if field.kind.label]
        self.label = places[0] if places else -1
        self.use = fields[self.label].kind.label if places else ""
        self.operands = _operands(self.fields, tied)
        #: places of a result and of the input whose register it must have, or ()
        self.tie: tuple[int, ...] = next(
            ((o.index, o.tied) for o in self.operands if o.tied >= 0), ()
        )
        self.aliases = aliases
        self.template = template
        self.pattern = pattern
        self.notation = notation
        self._text: Text | None = None
        #: texts by operands, since most are asked for again and again
        self._texts: dict[tuple[int, ...], str] = {}
        self.mask = self.match = 0
        self.encode: Encode = self._refuse
        if pattern:
            self.recompile(pattern=pattern)

    def recompile(self, *, pattern: str | None = None, template: str | None = None) -> None:
        """Replace the bit pattern or the text (of the same fields). ValueError as compile_pattern."""
        if pattern is not None:
            encoding = self.notation(pattern, self.fields, self._printed)
            self.pattern = pattern
            self.encode, self.mask, self.match = encoding
        if template is not None:
            self.template = template
            self._text = None
            self._texts.clear()

    def text(self, ops: Sequence[int]) -> str:
        """The instruction in Capstone's syntax. A label's op is its address."""
        key = tuple(ops)
        text = self._texts.get(key)
        if text is None:
            if self._text is None:
                self._text = _compile_text(self.template, self.aliases, self.fields)
            if len(self._texts) >= _TEXTS:
                self._texts.clear()
            text = self._texts[key] = self._text(ops)
        return text

    def operands_without(self, ops: Sequence[object]) -> tuple[Operand, ...]:
        """The operands whose op is None in ``ops``: the others are fixed by their user."""
        kept = tuple(o for o in self.operands if ops[o.index] is None)
        return self.operands if len(kept) == len(self.operands) else kept

    def _refuse(self, ops: Sequence[int]) -> NoReturn:
        raise InternalError(f"{self.name} is no instruction of the machine")

    def __repr__(self) -> str:
        return f"<row {self.name}>"


def _split(word: str, kinds: Mapping[str, Kind]) -> tuple[str, Kind]:
    name, _, kind = word.partition(":")
    return name, kinds[kind or name]


def _operands(fields: Sequence[Field], tied: str) -> tuple[Operand, ...]:
    tied_to, _, source = tied.partition("=")
    index = {field.name: i for i, field in enumerate(fields)}
    made = []
    for i, field in enumerate(fields):
        if field.kind.cls < 0:
            continue
        defined = field.name[0] == "d"
        made.append(
            Operand(i, DEF if defined else USE, field.kind.cls, fixed=field.kind.fixed,
                    tied=index[source] if field.name == tied_to else -1)
        )  # fmt: skip
    # Uses first: the order in which an allocator wants to see them.
    return tuple(sorted(made, key=lambda operand: operand.role == DEF))


def _compile_text(
    template: str, aliases: tuple[tuple[str, str], ...], fields: Sequence[Field]
) -> Text:
    names: dict[str, object] = {f"k{i}": field.kind.text for i, field in enumerate(fields)}
    index = {field.name: i for i, field in enumerate(fields)}

    def string(text: str) -> str:
        return 'f"' + re.sub(
            r"\{(\w+)(?::\w+)?\}", lambda m: f"{{k{index[m[1]]}(ops[{index[m[1]]}])}}", text
        ) + '"'  # fmt: skip

    body = string(template)
    for condition, other in reversed(aliases):
        test = re.sub(
            r"\b[a-z]\w*\b",
            lambda m: f"ops[{index[m[0]]}]" if m[0] in index else m[0],
            condition,
        )
        body = f"{string(other)} if {test} else {body}"
    exec(f"def text(ops): return {body}", names)
    text: Text = names["text"]  # type: ignore[assignment]  # made by the line above
    return text


class RowTable:
    """All rows of an ISA, numbered; ``table["add_rr.x"]`` is a row."""

    __slots__ = ("_by_name", "rows")

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._by_name: dict[str, Row] = {}

    def add(self, row: Row) -> Row:
        """Number ``row``. ValueError if there is one of its name."""
        if row.name in self._by_name:
            raise ValueError(f"two rows for {row.name}")
        row.index = len(self.rows)
        self.rows.append(row)
        self._by_name[row.name] = row
        return row

    def __getitem__(self, name: str) -> Row:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name
