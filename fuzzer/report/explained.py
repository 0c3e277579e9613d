"""An explanation on a terminal: the culprit first, then what became of each CLIF instruction, the trace, the toggles.

Wide enough, the stages stand side by side; else each CLIF instruction has its stages below it. All text is a
compiler's or a file's and is printed without what a terminal would obey.
"""

from __future__ import annotations

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from fuzzer.explain.model import Explanation, Line, Step
from fuzzer.report.text import one_line

SIDE_BY_SIDE: Final = 110
"""Columns from which on the stages stand side by side."""
_NEAR: Final = 24
"""Steps that are shown at most, unless asked for."""
_DONE: Final = ("fixed", "clean")


def print_explanation(explanation: Explanation, console: Console, *, steps: int = _NEAR) -> None:
    """Everything, as wide as the console is."""
    x = explanation
    console.print(Text(one_line(_sentence(x)), style="bold"))
    if x.verdict in _DONE:
        return
    for name, text in _facts(x):
        line = Text(f"{name:<10}", style="dim")
        line.append(one_line(text), style="red" if name == "diverges" else "")
        console.print(line, soft_wrap=False)
    if x.lines:
        console.print()
        if console.width >= SIDE_BY_SIDE:
            _side_by_side(x.lines, console)
        else:
            _stacked(x.lines, console)
    if x.trace:
        _trace(x.around(steps), console)
    if x.toggles:
        _toggles(x, console)


def _sentence(x: Explanation) -> str:
    where = f"{x.entry} ({x.target}/{x.isa})"
    if x.verdict in _DONE:
        return f"{where}: {x.verdict}: nothing to explain"
    if x.culprit:
        return f"{where}: {x.culprit}"
    return f"{where}: {x.verdict}; no toggle names a stage"


def _facts(x: Explanation) -> list[tuple[str, str]]:
    facts = [
        (x.verdict, x.detail if x.detail.startswith(f"{x.check}:") else f"{x.check}: {x.detail}"),
        ("inputs", ", ".join(x.inputs) or "none"),
        ("expected", x.expected),
        ("observed", x.observed),
        ("diverges", x.divergence.text if x.divergence is not None else ""),
        ("poison", f"{x.poison} mattered" if x.poison else ""),
    ]
    if not x.detail:
        del facts[0]
    return [(name, text) for name, text in facts if text]


def _values(line: Line) -> str:
    if not line.expected:
        return ""
    if line.expected == line.got:
        return f"{line.got} in {line.where}"
    return f"expected {line.expected}, got {line.got} in {line.where}"


def _side_by_side(lines: list[Line], console: Console) -> None:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim", expand=True)
    table.add_column("", width=1)
    for name, ratio in (("CLIF", 5), ("vcode", 5), ("assembly", 6), ("expected/got", 4)):
        table.add_column(name, ratio=ratio, overflow="fold")
    for line in lines:
        cells = [
            ">" if line.diverges else "",
            line.clif,
            "\n".join(line.vcode),
            "\n".join(f"{asm.offset:3x}  {asm.text}" for asm in line.asm),
            _values(line),
        ]
        table.add_row(
            *(Text("\n".join(map(one_line, cell.split("\n")))) for cell in cells),
            style="red" if line.diverges else "",
        )
    console.print(table)


def _stacked(lines: list[Line], console: Console) -> None:
    for line in lines:
        style = "red" if line.diverges else ""
        values = _values(line)
        head = f"{'>' if line.diverges else ' '} {line.clif}" + (
            f"    ; {values}" if values else ""
        )
        console.print(Text(one_line(head), style=style or "bold"))
        for text in line.vcode:
            console.print(Text(one_line(f"          {text}"), style=style or "dim"))
        for asm in line.asm:
            console.print(
                Text(one_line(f"      {asm.offset:6x}  {asm.word:<8}  {asm.text}"), style=style)
            )


def _trace(x: Explanation, console: Console) -> None:
    at = x.divergence.step if x.divergence is not None else -1
    last = x.trace_from + len(x.trace)
    console.print(Text(f"\ntrace, steps {x.trace_from + 1} to {last} of {x.executed}", style="dim"))
    for index, step in enumerate(x.trace):
        console.print(Text(one_line(_step(step, index == at)), style="red" if index == at else ""))


def _step(step: Step, diverges: bool) -> str:
    return f"{'>' if diverges else ' '} {step.offset:6x}  {step.text:<34}  {step.changes}"


_SECOND_OPINION: Final = {
    "gone": "{} agrees with the reference",
    "still": "{} breaks the same rule: the reference itself may be wrong",
}


def _toggles(x: Explanation, console: Console) -> None:
    console.print(Text("\ntoggles", style="dim"))
    for verdict in ("gone", "other", "still", "unsupported"):
        names = [toggle.what for toggle in x.toggles if toggle.verdict == verdict]
        if names:
            console.print(Text(one_line(f"  {verdict:<12}{', '.join(names)}"),
                               style="green" if verdict == "gone" else ""))  # fmt: skip
    for toggle in x.toggles:
        name = toggle.what.removeprefix("target ")
        if name != toggle.what and toggle.verdict in _SECOND_OPINION:
            console.print(Text(one_line(f"  {_SECOND_OPINION[toggle.verdict].format(name)}")))
