"""Building the server of the target ``cranelift`` from its sources, with cargo.

Versions are those of Cargo.lock and nothing else is tried (``--locked``); what cargo has to fetch it fetches itself.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from fuzzer.targets.cranelift import SOURCE, VARIABLE
from fuzzer.targets.target import TargetUnavailable


def build(say: Callable[[str], None], source: Path = SOURCE) -> Path:
    """Where the server is that was built. ``say`` gets cargo's lines. TargetUnavailable with one line if something is
    missing or fails."""
    manifest = source / "Cargo.toml"
    if not manifest.is_file():
        raise TargetUnavailable(
            f"this installation has no sources of the server ({manifest}): build it in a checkout "
            f"or an unpacked source distribution, and name it in {VARIABLE}"
        )
    cargo = shutil.which("cargo")
    if cargo is None:
        raise TargetUnavailable("cargo is not on the PATH: install Rust (https://rustup.rs)")
    target = source / "target"
    command = [cargo, "build", "--release", "--locked",
               "--manifest-path", str(manifest), "--target-dir", str(target)]  # fmt: skip
    wrong = ""
    try:
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as cargo_run:
            assert cargo_run.stderr is not None
            for line in cargo_run.stderr:
                say(line.rstrip())
                if line.startswith("error") and not wrong:
                    wrong = line.strip()
    except OSError as error:
        raise TargetUnavailable(f"{cargo}: {error.strerror}") from None
    if cargo_run.returncode:
        raise TargetUnavailable(
            f"cargo ended with status {cargo_run.returncode}: {wrong or 'it does not say why'}"
        )
    return target / "release" / "cranelift-server"
