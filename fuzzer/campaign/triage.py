"""The morning after: what campaigns found, merged, told apart, tried again, and put into words.

Findings of several campaigns (the shards of a night) are one by signature. Signatures that are probably one bug (the
same rule broken, on skeletons that share most of their opcodes) make a *cluster*, so that a person reads one reproducer
and not ten; nothing is dropped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fuzzer.checks import CHECKS
from fuzzer.corpus.entry import Entry, EntryError, parse_entry, read_text
from fuzzer.corpus.foreign import foreign_entry
from fuzzer.corpus.replay import Verdict, replay
from fuzzer.corpus.signature import skeleton
from fuzzer.corpus.store import Store
from fuzzer.targets import TargetUnavailable, target_named

ALIKE: Final = 0.6
"""Share of opcodes that two skeletons have in common from which on they are taken for one bug."""
_FAILING: Final = ("failing", "regressed", "changed")


@dataclass(slots=True)
class Specimen:
    """An entry with what replaying it gave."""

    path: Path
    entry: Entry
    verdict: Verdict

    @property
    def fails(self) -> bool:
        return self.verdict.verdict in _FAILING

    @property
    def size(self) -> int:
        return self.entry.case.instruction_count()

    @property
    def opcodes(self) -> frozenset[str]:
        return frozenset(skeleton(self.entry.case).split())


@dataclass(slots=True)
class Cluster:
    """What is probably one bug; the smallest specimen first."""

    specimens: list[Specimen] = field(default_factory=list)

    @property
    def best(self) -> Specimen:
        return self.specimens[0]

    @property
    def fails(self) -> bool:
        return any(specimen.fails for specimen in self.specimens)


@dataclass(slots=True)
class Triage:
    """``unreadable``: (path, why)."""

    clusters: list[Cluster]
    unreadable: list[tuple[Path, str]]

    @property
    def digest(self) -> str:
        """``2 bugs fail (3 entries), 1 fixed, 0 flaky``."""
        specimens = [specimen for cluster in self.clusters for specimen in cluster.specimens]
        failing = [cluster for cluster in self.clusters if cluster.fails]
        entries = sum(specimen.fails for specimen in specimens)
        fixed = sum(specimen.verdict.verdict in ("fixed", "clean") for specimen in specimens)
        flaky = sum("nondeterministic" in specimen.entry.note for specimen in specimens)
        return (f"{len(failing)} {'bug fails' if len(failing) == 1 else 'bugs fail'} "
                f"({entries} {'entry' if entries == 1 else 'entries'}), {fixed} fixed, {flaky} flaky")  # fmt: skip


def triage(paths: Iterable[Path], *, planted: bool = False) -> Triage:
    """Load, replay and cluster the entries in files; of one signature only the smallest."""
    by_signature: dict[tuple[str, str], tuple[Path, Entry]] = {}
    unreadable: list[tuple[Path, str]] = []
    for path in paths:
        try:
            text = read_text(path)
            entry = parse_entry(text, str(path))
            if entry.status == "seed":
                continue
            # Its words become names of files, here and in the corpus that it is merged into.
            entry = foreign_entry(text, str(path))
        except EntryError as error:
            unreadable.append((path, str(error)))
            continue
        key = (entry.signature, entry.check)
        known = by_signature.get(key)
        if known is None or _size(entry) < _size(known[1]):
            by_signature[key] = (path, entry)
    specimens = []
    for path, entry in by_signature.values():
        try:
            verdict = replay(entry, target_named(entry.target), entry.case.isa, planted=planted)
        except TargetUnavailable as error:
            unreadable.append((path, f"{path}: {error}"))
            continue
        specimens.append(Specimen(path, entry, verdict))
    return Triage(cluster(specimens), unreadable)


def _size(entry: Entry) -> int:
    return entry.case.instruction_count()


def cluster(specimens: list[Specimen]) -> list[Cluster]:
    """Specimens that are probably one bug together; clusters that fail first, of them the one with the smallest
    reproducer."""
    clusters: list[Cluster] = []
    for specimen in sorted(specimens, key=lambda s: (s.size, s.entry.signature)):
        home = next((c for c in clusters if _alike(c.best, specimen)), None)
        if home is None:
            clusters.append(home := Cluster())
        home.specimens.append(specimen)
    return sorted(clusters, key=lambda c: (not c.fails, c.best.size, c.best.entry.signature))


def _alike(one: Specimen, other: Specimen) -> bool:
    a, b = one.entry, other.entry
    if (a.check, a.target, a.case.isa) != (b.check, b.target, b.case.isa):
        return False
    if not CHECKS[a.check].by_shape if a.check in CHECKS else True:
        return a.key == b.key
    common, all_of_them = one.opcodes & other.opcodes, one.opcodes | other.opcodes
    return len(common) >= ALIKE * len(all_of_them)


def merge(clusters: Iterable[Cluster], corpus: Path) -> int:
    """Keep the entries in ``corpus`` too; how many were new or smaller than what it had."""
    store = Store(corpus)
    verdicts = [
        store.save(specimen.entry, read_text(specimen.path))[1]
        for group in clusters for specimen in group.specimens
        if specimen.path.resolve() != store.path_of(specimen.entry).resolve()
    ]  # fmt: skip
    return sum(verdict != "known" for verdict in verdicts)


def draft(group: Cluster) -> tuple[str, str]:
    """Title and Markdown of a bug report."""
    best, entry = group.best, group.best.entry
    title = f"[{entry.signature}] {entry.check} on {entry.target}/{entry.case.isa}: {_plain(entry.observed, 90)}"
    fence = "~~~~"
    others = [f"- `{s.path}` ({s.size} instructions)" for s in group.specimens[1:]]
    lines = [
        f"Clifhanger found that `{entry.target}` breaks the rule **{entry.check}** on {entry.case.isa}"
        + (f": {CHECKS[entry.check].doc}." if entry.check in CHECKS else "."),
        "",
        f"- observed: {_inline(entry.observed, 400)}",
        f"- expected: {_inline('; '.join(entry.expected), 400)}",
        f"- now: {best.verdict.verdict} {_inline(best.verdict.detail, 200)}",
        f"- versions: {_inline(entry.versions, 200)}; seed {_inline(entry.seed, 80)}",
        "",
        f"{fence}\n{read_text(best.path).rstrip()}\n{fence}",
        "",
        f"Save it as `{best.path.name}`, then `clifhanger replay {best.path.name}` and "
        f"`clifhanger explain {best.path.name}`.",
    ]
    if others:
        lines += ["", "Probably the same bug:", "", *others]
    return title, "\n".join(lines) + "\n"


def _plain(text: str, most: int) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:most]


def _inline(text: str, most: int) -> str:
    """Text of a compiler in a line of Markdown: nothing in it is markup, mentions nobody."""
    plain = _plain(text, most)
    return f"`{plain.replace('`', chr(39))}`" if plain else "(none)"
