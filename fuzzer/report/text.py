"""Words of a report: what is hostile made visible, what is a number made short.

Everything that a compiler, a corpus entry or a file name can put into a report goes through :func:`visible`
first, whatever escaping the format asks for on top. Invariant: what it gives is printable, line breaks and
tabs apart, so it holds no control character, no lone surrogate and no mark that turns the reading order round.
"""

from __future__ import annotations

import shlex
from typing import Final

from fuzzer.report.summary import FindingRow, Summary

_KEPT: Final = "\n\t"


def visible(text: str) -> str:
    """``text`` with every unprintable character spelt out: ``\\x1b``, ``\\u202e``, ``\\U000e0001``."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _KEPT else _spelt(ord(c)) for c in text)


def one_line(text: str) -> str:
    """``visible`` with line breaks and tabs spelt out as well."""
    return visible(text.replace("\n", "\\n").replace("\t", "\\t"))


def _spelt(code: int) -> str:
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def duration(seconds: float) -> str:
    """``61s`` up to two minutes, then ``2m05s``, then ``1h02m``."""
    whole = int(seconds)
    if whole < 120:
        return f"{whole}s"
    if whole < 7200:
        return f"{whole // 60}m{whole % 60:02}s"
    return f"{whole // 3600}h{whole % 3600 // 60:02}m"


def grouped(number: float) -> str:
    """``1,234,567``."""
    return f"{number:,.0f}"


def short(number: int) -> str:
    """At most four characters below a billion: ``999``, ``1.2k``, ``45k``, ``3.1M``."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 1000)):
        if number >= size:
            tenths = number * 10 // size
            return (
                f"{tenths // 10}.{tenths % 10}{unit}" if tenths < 100 else f"{tenths // 10}{unit}"
            )
    return str(number)


def plural(number: int, one: str, many: str = "") -> str:
    """``1 finding``, ``2 findings``."""
    return f"{grouped(number)} {one if number == 1 else many or one + 's'}"


def verdict_of(summary: Summary) -> str:
    """The campaign in a few words, the bad news first."""
    words = []
    if summary.findings:
        known = sum(row.verdict == "known" for row in summary.findings)
        suspects = len(summary.findings) - len(summary.new) - known
        counts = [plural(len(summary.new), "new finding")] if summary.new else []
        counts += [plural(known, "known finding")] if known else []
        counts += (
            [plural(suspects, "suspect of the executor", "suspects of the executor")]
            if suspects
            else []
        )
        words.append(" and ".join(counts))
    elif not tested(summary):
        words.append("nothing was tested")
    elif summary.known:
        words.append(f"no new findings, known ones met {plural(summary.known, 'time')}")
    else:
        words.append("no findings")
    if summary.errors:
        words.append(plural(len(summary.errors), "internal error"))
    if summary.interrupted:
        words.append("interrupted")
    text = ", ".join(words)
    return text[0].upper() + text[1:]


def tested(summary: Summary) -> int:
    """Functions that the target took on."""
    return summary.functions - sum(summary.unsupported.values())


def options_of(summary: Summary) -> list[str]:
    """The options that were fixed, ``registers=8``, ``veneers=yes``, as ``--opt`` takes them."""
    return [
        f"{name}={('yes' if value else 'no') if isinstance(value, bool) else value}"
        for name, value in sorted(summary.options.items())
    ]


def repeat_command(summary: Summary) -> str:
    """The command that draws the same functions again: seed, shard, number and what was fixed."""
    words = ["clifhanger", "fuzz", "--target", summary.target, "--isa", ",".join(summary.isas),
             "--seed", f"{summary.seed:#x}", "-n", str(max(summary.functions, 1))]  # fmt: skip
    if summary.shard not in ("", "1/1"):
        words += ["--shard", summary.shard]
    for option in options_of(summary):
        words += ["--opt", option]
    if summary.plants:
        words += ["--plant", ",".join(summary.plants)]
    return shlex.join(map(one_line, words))


def entry_command(verb: str, row: FindingRow, summary: Summary) -> str:
    """``clifhanger replay [--planted] PATH``; ``verb``: ``replay`` or ``explain``."""
    planted = ["--planted"] if summary.plants else []
    return shlex.join(["clifhanger", verb, *planted, one_line(row.path)])
