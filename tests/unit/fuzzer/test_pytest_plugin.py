"""The plugin as its users meet it: folders of entries, options, workers that die."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from backend.ir.parser import parse_function
from fuzzer.case import Case
from fuzzer.corpus.entry import Entry, load_entry, print_entry
from fuzzer.pytest_plugin import campaigns, entries, options
from fuzzer.reference.evaluate import outcomes_of
from fuzzer.targets import TARGETS

pytest_plugins = ["pytester"]

LOADED = (campaigns, entries, options)
"""What a run in this process would import, and forget, each time."""

CONFTEST = '''
"""Targets that misbehave; each writes down which function it was given, in which process."""

import os
import signal

from backend.errors import Unsupported
from backend.machine.compiled import CompiledCode
from fuzzer.checks.reassembly import assemble
from fuzzer.targets import TARGETS, Row
from fuzzer.targets.builtin import Builtin

HERE = os.path.dirname(os.path.abspath(__file__))


class Logged(Builtin):
    name = "logged"
    isolated = True

    def compile(self, case):
        with open(os.path.join(HERE, "log"), "a") as log:
            log.write(f"{case.function.name} {os.getpid()}\\n")
        return self.misbehave(case)

    def misbehave(self, case):
        return super().compile(case)


class Wrong(Logged):
    name = "wrong"

    def misbehave(self, case):
        code = super().misbehave(case)
        last = code.code.rindex(assemble("aarch64", "ret"))
        double = b"".join(assemble("aarch64", text) for text in ("add x0, x0, x0", "ret"))
        return CompiledCode("aarch64", code.code[:last] + double, traps=code.traps)


class Dies(Logged):
    name = "dies"

    def misbehave(self, case):
        os.kill(os.getpid(), signal.SIGKILL if "kill" in case.function.name else signal.SIGABRT)


class Refuses(Logged):
    name = "refuses"

    def misbehave(self, case):
        raise Unsupported("never")


for made in (Logged, Wrong, Dies, Refuses):
    TARGETS[made.name] = Row("conftest", made.__name__, "for tests")
'''

LONG = """function %f(i64, i64) -> i64 {
block0(v0: i64, v1: i64):
    v2 = iconst.i64 42
    v3 = iadd v0, v2
    v4 = bxor v3, v1
    return v4
}"""

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def targets_stay() -> Iterator[None]:
    """What a conftest.py adds to the targets is gone after its test."""
    before = dict(TARGETS)
    yield
    TARGETS.clear()
    TARGETS.update(before)


@pytest.fixture
def write(pytester: pytest.Pytester) -> Write:
    """Write an entry; by default an open one that ``wrong`` gets wrong."""
    pytester.makeconftest(CONFTEST)

    def make(name: str, *, text: str = LONG, **changes: object) -> Path:
        function = parse_function(text)
        inputs = [tuple(7 for _ in function.signature.params)]
        entry = Entry(Case(function, inputs), "result", "wrong", "0123456789ab")
        for field, value in changes.items():
            setattr(entry, field, value)
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(print_entry(entry, outcomes_of(entry.case)))
        return path

    return make


def outcomes(result: pytest.RunResult) -> dict[str, str]:
    """Node to outcome, from a verbose report: ``node OUTCOME``, or ``[gw0] [ 50%] OUTCOME node`` of xdist's."""
    text = result.stdout.str()
    found = dict(re.findall(r"^(\S+::\S+) ([A-Z]+)\b", text, re.MULTILINE))
    return found | {
        node: outcome
        for outcome, node in re.findall(r"^\[gw\d+\] \[ *\d+%\] ([A-Z]+) (\S+)", text, re.MULTILINE)
    }


def test_the_entry_point_is_there() -> None:
    assert [point.value for point in entry_points(group="pytest11", name="clifhanger")][:1] == [
        "fuzzer.pytest_plugin"
    ]


def test_a_run_without_entries_pays_for_nothing() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import fuzzer.pytest_plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["fuzzer", "fuzzer.pytest_plugin"]


def test_what_a_status_means(pytester: pytest.Pytester, write: Write) -> None:
    write("open.clif")
    write("open_fixed.clif", target="logged")
    write("open_changed.clif", check="frame")
    write("fixed.clif", target="logged", status="fixed")
    write("fixed_again.clif", status="fixed")
    write("seed.clif", target="logged", status="seed", check="")
    write("seed_wrong.clif", status="seed", check="")
    write("wontfix.clif", status="wontfix")
    write("wontfix_fixed.clif", target="logged", status="wontfix")
    write("refused.clif", target="refuses")
    write("dies.clif", target="dies", check="crash", kind="crash")
    write("dies_again.clif", target="dies", check="crash", kind="crash", status="fixed")
    write("planted.clif", target="builtin", status="fixed", plant="caller-frame", check="frame")
    result = pytester.runpytest_subprocess("-v", "-p", "no:cacheprovider", "-rsxX")
    assert outcomes(result) == {
        f"{name}.clif::replay": outcome
        for name, outcome in {
            "open": "XFAIL", "open_fixed": "FAILED", "open_changed": "FAILED", "fixed": "PASSED",
            "fixed_again": "FAILED", "seed": "PASSED", "seed_wrong": "FAILED", "wontfix": "XFAIL",
            "wontfix_fixed": "XPASS", "refused": "SKIPPED", "dies": "XFAIL", "dies_again": "FAILED",
            "planted": "PASSED",
        }.items()
    }  # fmt: skip
    text = result.stdout.str()
    assert "Traceback" not in text
    assert "internal error" not in text
    assert (
        'fixed: promote it with status = "fixed" in line 6: sed -i 6s/open/fixed/ open_fixed.clif'
        in text
    )
    assert "open: result: result 0: expected 0x36, got 0x6c" in text
    assert "SIGABRT" in text
    assert "never" in text


@pytest.mark.parametrize("stated", [True, False])
def test_the_promotion_that_the_message_tells(
    pytester: pytest.Pytester, write: Write, stated: bool
) -> None:
    path = write("a b.clif", target="logged")
    if not stated:
        path.write_text(path.read_text().replace('; status = "open"\n', ""))
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider")
    # Where CI is set, pytest's short summary says every message once more in full.
    (command,) = set(re.findall(r"sed -i .*$", result.stdout.str(), re.MULTILINE))
    subprocess.run(command, shell=True, check=True, cwd=pytester.path)
    assert load_entry(path).status == "fixed"
    pytester.runpytest_inprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


def test_a_failure_says_what_a_compiler_writer_wants(
    pytester: pytest.Pytester, write: Write
) -> None:
    write("deep/it.clif", status="fixed", observed="result 0: expected 0x1, got 0x2")
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "--runxfail")
    result.assert_outcomes(failed=1)
    text = result.stdout.str()
    start = text.index("failing again")
    assert text[start : text.index("replay:  ")].splitlines() == [
        "failing again: result: result 0: expected 0x36, got 0x6c",
        "  entry:   deep/it.clif (fixed; wrong/aarch64)",
        "  check:   result: returned values are the reference's",
        "  found:   result 0: expected 0x1, got 0x2",
        "",
        *(f"  {line}" for line in LONG.splitlines()),
        "",
        "  ",
    ]
    assert "replay:  clifhanger replay deep/it.clif" in text
    assert "FAILED deep/it.clif::replay - Failed: failing again: result" in text


def test_what_is_no_good_entry_fails_alone(pytester: pytest.Pytester, write: Write) -> None:
    good = write("good.clif", target="logged", status="fixed")
    text = good.read_text()
    folder = pytester.path
    (folder / "corrupt.clif").write_text(text.replace("iadd", "iaad"))
    (folder / "huge.clif").write_text(text + "; \n" * (1 << 19))
    (folder / "latin.clif").write_bytes(text.encode() + b"; caf\xe9\n")
    (folder / "open_block.clif").write_text("; /// clifhanger\n; schema = 1\n")
    (folder / "key.clif").write_text(text.replace("schema", "a" * 100_000))
    (folder / "nest.clif").write_text(text.replace("schema = 1", "schema = " + "[" * 30_000))
    (folder / "escape.clif").write_text(text.replace('"fixed"', '"\\u001b[31mred"'))
    (folder / "target.clif").write_text(text.replace('"logged"', '"zcc"'))
    (folder / "isa.clif").write_text(text.replace('isa = "aarch64"', 'isa = "vax"'))
    (folder / "plain.clif").write_text(LONG)
    (folder / "empty.clif").write_text("")
    (folder / "folder.clif").mkdir()
    os.mkfifo(folder / "fifo.clif")
    (folder / "nowhere.clif").symlink_to("missing")
    (folder / "zero.clif").symlink_to("/dev/zero")
    (folder / "link.clif").symlink_to("good.clif")
    result = pytester.runpytest_subprocess("-v", "-p", "no:cacheprovider", timeout=60)
    bad = ["corrupt", "escape", "huge", "isa", "key", "latin", "nest", "open_block", "target"]
    assert outcomes(result) == {
        **{f"{name}.clif::replay": "FAILED" for name in bad},
        "good.clif::replay": "PASSED",
        "link.clif::replay": "PASSED",
    }
    out = result.stdout.str()
    assert "\x1b[31mred" not in out
    for line in (
        r"corrupt\.clif:19:10: .*iaad",
        r"huge\.clif: larger than 1048576 bytes",
        r"latin\.clif:\d+:6: not UTF-8",
        r"open_block\.clif:3:1: the metadata block is not closed",
        r"key\.clif:1:1: a metadata block of more than",
        r"nest\.clif:2:1: metadata: ",
        r"escape\.clif:2:1: metadata: status ",
        r"target\.clif: no target 'zcc'",
        r"isa\.clif: logged has no ISA 'vax'",
    ):
        assert re.search(f"^{line}", out, re.MULTILINE), line


@pytest.mark.parametrize("name", ["fifo.clif", "nowhere.clif"])
def test_what_is_no_file_hangs_nobody_when_named(
    pytester: pytest.Pytester, write: Write, name: str
) -> None:
    os.mkfifo(pytester.path / "fifo.clif")
    result = pytester.runpytest_subprocess(name, "-p", "no:cacheprovider", timeout=30)
    assert result.ret == pytest.ExitCode.USAGE_ERROR


@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--clif-shard=3/2", "--clif-shard: '3/2' is no shard"),
        ("--clif-time=soon", "--clif-time: 'soon' is no duration"),
        ("--clif-target=zcc", "--clif-target: no target 'zcc'"),
        ("--clif-isa=vax", "--clif-isa: there is no ISA 'vax'; known: "),
        ("--clif-target=wrong --clif-isa=vax", "--clif-isa: wrong has no ISA 'vax'"),
        ("--clif-seed=1", "--clif-seed: nothing is fuzzed without --clif-time"),
        ("--clif-time=1s --clif-seed=x", "--clif-seed: 'x' is no seed"),
        ("--clif-time=1s --clif-shards=0", "--clif-shards: '0' is no number"),
        ("--clif-shard=1/2 --clif-shards=2", "--clif-shards: --clif-shard says already"),
    ],
)
def test_a_bad_option_is_one_line(
    pytester: pytest.Pytester, write: Write, option: str, line: str
) -> None:
    result = pytester.runpytest_inprocess(*option.split(), "-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    errors = [text for text in result.stderr.lines if text]
    assert len(errors) == 1
    assert errors[0].startswith(f"ERROR: {line}")


def test_another_target_and_the_ini_file(pytester: pytest.Pytester, write: Write) -> None:
    write("a.clif", case=Case(parse_function(LONG), [(1, 2)], options={"registers": 4}))
    write("b.clif", target="logged", status="fixed")
    run = pytester.runpytest_inprocess
    # A status is what its own target did: open or not, another one has to do it right.
    run("-p", "no:cacheprovider", "--clif-target", "logged").assert_outcomes(passed=2)
    pytester.makeini("[pytest]\nclif_target = wrong\nclif_isa = aarch64\n")
    result = run("-v", "-p", "no:cacheprovider")
    assert outcomes(result) == {
        "a.clif::replay[aarch64]": "XFAIL",
        "b.clif::replay[aarch64]": "FAILED",
    }
    result.stdout.fnmatch_lines(["clifhanger: target wrong, isa aarch64"])
    assert "replay:  clifhanger replay --target wrong b.clif" in result.stdout.str()
    run("-p", "no:cacheprovider", "--clif-target", "builtin").assert_outcomes(passed=2)


def test_shards_are_a_partition(pytester: pytest.Pytester, write: Write) -> None:
    for number in range(20):
        write(f"{number % 3}/e{number}.clif", target="logged", status="fixed")
    pytester.makepyfile("def test_other(): pass")
    ran: Counter[str] = Counter()
    for shard in (1, 2, 3):
        result = pytester.runpytest_inprocess(
            "-p", "no:cacheprovider", f"--clif-shard={shard}/3", "--collect-only", "-q"
        )
        ran.update(line for line in result.stdout.lines if "::" in line)
    assert ran.pop("test_shards_are_a_partition.py::test_other") == 3
    assert ran == {f"{n % 3}/e{n}.clif::replay": 1 for n in range(20)}


def test_every_entry_runs_once_whoever_dies(pytester: pytest.Pytester, write: Write) -> None:
    """Compilers that kill their process, and a worker of xdist that is killed itself."""
    for number in range(120):
        kind = {3: "kill", 7: "abort"}.get(number % 10, "f")
        fine = kind == "f"
        write(
            f"e{number:03}.clif", text=LONG.replace("%f", f"%{kind}{number}"),
            target="logged" if fine else "dies", check="crash", kind="crash",
            status="fixed" if fine else "open",
        )  # fmt: skip
    pytester.makepyfile("import os\ndef test_killer(): os.kill(os.getpid(), 9)")
    # Not by worksteal: xdist's own loop ends with an OSError if it steals from a worker that has just died.
    result = pytester.runpytest_subprocess(
        "-n", "2", "--dist", "load", "-p", "no:cacheprovider", "-v", timeout=120
    )
    result.assert_outcomes(passed=96, xfailed=24, failed=1)
    assert "crashed while running" in result.stdout.str()
    # A replay compiles twice, to compare; so it is processes that are counted, each a replay.
    log = {line for line in (pytester.path / "log").read_text().splitlines() if "%warm" not in line}
    assert Counter(line.split()[0] for line in log) == {
        f"%{({3: 'kill', 7: 'abort'}).get(n % 10, 'f')}{n}": 1 for n in range(120)
    }
    assert len({line.split()[1] for line in log}) == 120


def test_an_entry_fuzzes_each_worker_of_xdist(pytester: pytest.Pytester, write: Write) -> None:
    pytester.makeini("[pytest]\nclif_target = logged\n")
    result = pytester.runpytest_subprocess(
        "-n", "2", "--dist", "worksteal", "--clif-time", "1s", "--clif-seed", "7", "-v",
        timeout=120,
    )  # fmt: skip
    assert outcomes(result) == {
        "clifhanger::fuzz[1-of-2]": "PASSED",
        "clifhanger::fuzz[2-of-2]": "PASSED",
    }
    assert "seed 0x7" in result.stdout.str()
    assert not list((pytester.path / ".pytest_cache/d/clifhanger").iterdir())


def test_a_campaign_that_finds_something_says_what_to_replay(
    pytester: pytest.Pytester, write: Write
) -> None:
    result = pytester.runpytest_subprocess(
        "--clif-target=wrong", "--clif-time=1s", "--clif-seed=0x1", "--clif-shard=2/3",
        "--clif-corpus=kept", "-v", timeout=120,
    )  # fmt: skip
    assert outcomes(result) == {"clifhanger::fuzz[2-of-3]": "FAILED"}
    text = result.stdout.str()
    assert re.search(r"^\d+ findings?, seed 0x1$", text, re.MULTILINE)
    # Which of the rules that a wrong result breaks is found first is the machine's to say, in a second.
    assert re.search(r"^FOUND \w+ aarch64 ", text, re.MULTILINE)
    replays = set(re.findall(r"^  replay:  clifhanger replay (\S+)$", text, re.MULTILINE))
    assert replays
    assert replays == set(map(str, (pytester.path / "kept").rglob("*.clif")))
    # And what it found is collected from now on.
    again = pytester.runpytest_subprocess("kept", "-p", "no:cacheprovider")
    again.assert_outcomes(xfailed=len(replays))


FIXTURE = '''
import pytest
from fuzzer.outcome import Returned, Trapped

DOUBLE = """function %f(i8) -> i8 {
block0(v0: i8):
    v1 = iadd v0, v0
    return v1
}
"""
DIVIDE = """function %f(i8, i8) -> i8 {
block0(v0: i8, v1: i8):
    v2 = sdiv v0, v1
    return v2
}
"""
LOAD = """function %f(i64) -> i64 {
block0(v0: i64):
    v1 = load.i64 v0
    store v0, v0
    return v1
}
"""

def test_right(clif):
    assert clif(DOUBLE, 1, -1, 0xff) == [Returned((v,), b"") for v in (2, 0xfe, 0xfe)]
    assert repr(clif(DIVIDE, (1, 0), (-128, -1), (-6, 2))) == (
        "[Trapped(int_divz), Trapped(int_ovf), Returned(0xfd)]")
    (outcome,) = clif(LOAD, 0x2000_0000, memory=bytes(range(256)) * 4)
    assert outcome.values == (0x0706050403020100,)
    assert outcome.memory[:9] == b"\\0\\0\\0\\x20\\0\\0\\0\\0\\x08"
    assert clif(DOUBLE + "; run: %f(4) == 8\\n", options={"registers": 3}) == [Returned((8,), b"")]

def test_wrong(clif):
    clif(DOUBLE, 1, target="wrong")

def test_dies(clif):
    clif(DOUBLE, 1, target="dies")

def test_wrong_line(clif):
    clif(DOUBLE + "; run: %f(4) == 9\\n")

def test_refused(clif):
    clif(DOUBLE, 1, target="refuses")

@pytest.mark.parametrize(("inputs", "options", "words"), [
    ((1, 256), {}, "256 does not fit i8"),
    (((1, 2),), {}, "takes 1 arguments"),
    ((), {}, "no inputs"),
    ((1,), {"isa": "vax"}, "no ISA 'vax'"),
    ((1,), {"options": {"registers": 5}}, "registers can't be 5"),
    ((1,), {"options": {"nonsense": 5}}, "no option 'nonsense'"),
    ((1,), {"memory": b"x"}, "a multiple of 1024"),
])
def test_bad_input(clif, inputs, options, words):
    with pytest.raises(ValueError, match=words):
        clif(DOUBLE, *inputs, **options)
'''


def test_the_fixture(pytester: pytest.Pytester, write: Write) -> None:
    pytester.makepyfile(FIXTURE)
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-rs")
    result.assert_outcomes(passed=8, failed=3, skipped=1)
    text = result.stdout.str()
    for words in (
        "result: result 0: expected 0x2, got 0x4",
        "input 0: %f(0x1)",
        "crash: SIGABRT while compiling",
        "run: %f(4) == 9: the reference says returned 0x8",
        "unsupported: never",
    ):
        assert words in text, words
    assert "host/client.py" not in text
