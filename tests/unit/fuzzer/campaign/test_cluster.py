"""A campaign on a cluster finds what a local one finds, whoever dies meanwhile."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fuzzer.campaign.connection import ClusterError, check_address, tls_files
from fuzzer.corpus.entry import load_entry
from tests.unit.fuzzer.campaign.clusters import Cluster
from tests.unit.fuzzer.campaign.processes import Command, Done, run

ROOT = Path(__file__).parents[4]
FUNCTIONS = 256
CAMPAIGN = ("fuzz", "--seed", "7", "-n", str(FUNCTIONS), "--plant",
            "shift-narrow-unmasked,division-trap-code", "--out", "out")  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    pytest.importorskip("distributed", reason="pip install 'clifhanger[cluster]'")
    folder = tmp_path / "cluster"
    folder.mkdir()
    made = Cluster(folder)
    yield made
    made.end()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """What the campaign comes to on this machine alone."""
    done = run(tmp_path_factory.mktemp("local"), *CAMPAIGN, "-j", "2")
    assert done.status == 1
    assert len(done.stats()["entries"]) > 1
    assert len(done.entries("out/corpus")) == len(done.stats()["entries"])
    return done


def essence(done: Done) -> dict[str, Any]:
    """What must not depend on who did it."""
    stats = done.stats()
    same = {name: stats[name] for name in ("functions", "runs", "instructions", "rules_missed")}
    entries = [load_entry(path) for path in done.entries("out/corpus")]
    found = {e.signature: (e.check, e.case.function.instruction_count()) for e in entries}
    return {**same, "found": found, "errors": stats["errors"]}


def test_the_same_findings_though_workers_die_and_join(
    tmp_path: Path, cluster: Cluster, local: Done
) -> None:
    other_code = tmp_path / "other"
    for package in ("backend", "fuzzer"):
        shutil.copytree(ROOT / package, other_code / package)
    (other_code / "fuzzer" / "outcome.py").open("a").write("# changed\n")
    first, second = cluster.add(), cluster.add()
    cluster.add(other_code)
    command = Command(tmp_path, *CAMPAIGN, "--cluster", cluster.address)
    lines = command.lines_until("FOUND")
    second.send_signal(signal.SIGSTOP)  # with what it has been given
    cluster.kill(first)
    late = cluster.add()
    cluster.at_work(late)
    assert command.process.poll() is None
    cluster.kill(second)  # all the rest is the late one's
    done = command.finish(60)
    done.out = "".join(lines) + done.out
    assert done.status == 1
    assert essence(done) == essence(local)
    assert done.out.count("gets no work: its code is") == 1
    assert done.out.count("of the cluster went away") == 2
    assert done.stats()["worker_deaths"] == 2


def test_a_lost_scheduler_ends_it_and_another_resumes_it(
    tmp_path: Path, cluster: Cluster, local: Done
) -> None:
    cluster.add()
    command = Command(tmp_path, *CAMPAIGN, "--cluster", cluster.address)
    command.lines_until("FOUND")
    cluster.kill(cluster.scheduler)
    done = command.finish(30)
    assert done.status == 3
    assert f"the scheduler at {cluster.address} is lost" in done.out
    assert "start one and go on with --resume" in done.out
    before = done.stats()["functions"]
    assert before < FUNCTIONS
    cluster.start()
    cluster.add()
    cluster.add()
    done = run(tmp_path, *CAMPAIGN, "--resume", "--cluster", cluster.address)
    assert done.status in (0, 1)  # what was told before is known by now
    assert essence(done) == essence(local)


def test_deaths_are_looked_into(tmp_path: Path, cluster: Cluster) -> None:
    cluster.add(target="TwoFaults")
    cluster.add(target="TwoFaults")
    done = run(tmp_path, "fuzz", "--target", "bad", "-n", "10", "--seed", "1", "--out", "out",
               "--cluster", cluster.address, target="TwoFaults")  # fmt: skip
    stats = done.stats()
    assert (done.status, stats["functions"], stats["errors"]) == (1, 10, [])
    assert stats["worker_deaths"] > 2
    assert {"exit 7", "SIGABRT"} == {f["detail"].split(" while")[0] for f in stats["entries"]}
    assert len(done.entries()) == len(stats["entries"]) == 2
    assert "a worker died (exit status 7) at case 0/" in done.out


def test_an_interrupt_sums_up(tmp_path: Path, cluster: Cluster) -> None:
    worker = cluster.add()
    command = Command(tmp_path, "fuzz", "--time", "60s", "--seed", "1", "--out", "out",
                      "--cluster", cluster.address)  # fmt: skip
    cluster.at_work(worker)
    command.process.send_signal(signal.SIGINT)
    done = command.finish(20)
    assert (done.status, done.err) == (130, "")
    assert done.stats()["interrupted"] is True
    assert worker.poll() is None


def test_a_second_interrupt_stops_now(tmp_path: Path, cluster: Cluster) -> None:
    worker = cluster.add(target="Drags")
    command = Command(tmp_path, "fuzz", "--target", "bad", "--time", "60s", "--seed", "1", "--out",
                      "out", "--cluster", cluster.address, target="Drags")  # fmt: skip
    cluster.at_work(worker)
    command.process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    command.process.send_signal(signal.SIGINT)
    command.process.wait(5)
    assert command.finish(5).status == 130
    end = time.monotonic() + 5
    while cluster.leases(worker) and time.monotonic() < end:
        time.sleep(0.05)
    assert cluster.leases(worker) == []


def test_nobody_to_work_is_said(tmp_path: Path, cluster: Cluster) -> None:
    done = run(tmp_path, "fuzz", "--time", "2s", "--out", "out", "--cluster", cluster.address)
    assert done.status == 2
    assert "the cluster has no worker for this campaign now" in done.out


def _openssl(folder: Path, *args: str) -> None:
    subprocess.run(["openssl", *args], cwd=folder, check=True, capture_output=True)


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes certificates with openssl")
def test_tls(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="pip install 'clifhanger[cluster]'")
    _openssl(tmp_path, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
             "/CN=clifhanger test", "-keyout", "key.pem", "-out", "cert.pem")  # fmt: skip
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    options = ("--tls-ca-file", cert, "--tls-cert", cert, "--tls-key", key)
    cluster = Cluster(tmp_path, "tls", options)
    try:
        assert cluster.address.startswith("tls://")
        cluster.add()
        args = ("fuzz", "--seed", "1", "-n", "64", "--out", "out", "--cluster", cluster.address)
        done = run(tmp_path, *args)
        assert done.status == 2
        assert "no certificates; give --cluster-tls" in done.err
        done = run(tmp_path, *args, "--cluster-tls", f"{cert},{cert},{key}")
        assert (done.status, done.stats()["functions"]) == (0, 64)
    finally:
        cluster.end()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("tcp://10.0.0.1:8786", "use tls://10.0.0.1:8786"),
        ("tcp://scheduler.example:8786", "over plain tcp:// anybody"),
        ("tcp://localhost.example:8786", "over plain tcp:// anybody"),
        ("tcp://0.0.0.0:8786", "over plain tcp:// anybody"),
        ("ws://127.0.0.1:8786", "is no address"),
        ("inproc://127.0.0.1:1", "is no address"),
        ("127.0.0.1:8786", "is no address"),
        ("tls://host", "is no address"),
        ("tls://host:port", "is no address"),
        ("tls://[::1:8786", "is no address"),
        ("tcp://127.0.0.1:8786/x", "is no address"),
        ("", "is no address"),
    ],
)
def test_addresses_that_are_refused(url: str, words: str) -> None:
    with pytest.raises(ClusterError, match="(?s)" + words) as caught:
        check_address(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["tcp://127.0.0.1:1", "tcp://127.9.9.9:1", "tcp://localhost:1", "tcp://[::1]:1", "tls://a.b:1"],
)
def test_addresses_that_are_taken(url: str) -> None:
    check_address(url)


def test_three_files_for_tls(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).touch()
    names = [str(tmp_path / name) for name in "abc"]
    assert tls_files(",".join(names)) == tuple(map(Path, names))
    with pytest.raises(ClusterError, match="three files"):
        tls_files(names[0])
    with pytest.raises(ClusterError, match="no file"):
        tls_files(",".join([*names[:2], str(tmp_path / "d")]))


def test_a_user_s_mistakes_are_one_line(tmp_path: Path) -> None:
    for args, words in (
        (("--cluster", "tcp://10.0.0.1:1"), "--cluster: tcp://10.0.0.1:1: over plain tcp://"),
        (("--cluster", "tcp://127.0.0.1:1", "-j", "2"), "-j: a cluster's threads"),
        (("--cluster-tls", "a,b,c"), "--cluster-tls: no --cluster"),
        (("--cluster", "tcp://127.0.0.1:1", "--cluster-tls", "a,b,c"), "--cluster: a: no file"),
    ):
        done = run(tmp_path, "fuzz", "-n", "1", "--out", "out", *args)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"clifhanger: {words}")
        assert done.err.count("\n") == 1


def test_dask_is_not_imported_unless_asked() -> None:
    code = ("import sys, fuzzer.cli.fuzz, fuzzer.campaign.cluster, fuzzer.campaign.lessee\n"
            "assert not {'distributed', 'dask', 'tornado'} & set(sys.modules)")  # fmt: skip
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
