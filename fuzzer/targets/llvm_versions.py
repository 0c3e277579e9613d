"""Other versions of LLVM: the target ``llvm@0.44`` is LLVM by that version of llvmlite.

Each is in a virtual environment of its own, in the user's cache, made by ``clifhanger doctor --build llvm@0.44`` and by
nothing else. llvmlite 0.40 to 0.43 are LLVM 14, 0.44 is 15, 0.45 to 0.47 are 20, 0.50 is 22. The server is the same
file for all (:mod:`fuzzer.targets.llvm_server`), and so are the options.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fuzzer.cache import cache_folder
from fuzzer.targets.llvm import SERVER, Llvm
from fuzzer.targets.target import Target, TargetUnavailable

_VERSION: Final = re.compile(r"\d{1,3}\.\d{1,3}(\.\d{1,3})?")
_OLDEST: Final = (0, 40)
_COMPLETE: Final = "complete"
"""The file in an environment that says that nothing is missing."""


def folder() -> Path:
    """Where the environments are."""
    return cache_folder("llvmlite")


def _python(version: str) -> Path:
    return folder() / version / "bin" / "python"


def _checked(version: str) -> str:
    if not _VERSION.fullmatch(version):
        raise TargetUnavailable(
            f"{version!r} is no version of llvmlite; write llvm@0.44 or llvm@0.44.0"
        )
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise TargetUnavailable(f"llvmlite {version} is too old; {oldest} is the first that works")
    return version


def target(version: str) -> Target:
    """LLVM by llvmlite ``version``; TargetUnavailable if that is not built."""
    _checked(version)
    if not (folder() / version / _COMPLETE).is_file():
        raise TargetUnavailable(
            f"llvm@{version} is not built; `clifhanger doctor --build llvm@{version}` builds it"
        )
    # -I: neither the environment's variables nor the user's own packages have a say.
    command: Sequence[str] = (str(_python(version)), "-I", str(SERVER))
    made: Target = type("Llvm", (Llvm,), {"name": f"llvm@{version}", "command": command})()
    return made


def built() -> list[str]:
    """The versions that are there, in order."""
    found = [
        path.parent.name
        for path in folder().glob(f"*/{_COMPLETE}")
        if _VERSION.fullmatch(path.parent.name)
    ]
    return sorted(found, key=lambda version: tuple(map(int, version.split("."))))


def build(say: Callable[[str], None], version: str) -> Path:
    """Make the environment, or what is missing of it, and say where it is. ``say`` gets pip's lines.
    TargetUnavailable with one line if something fails."""
    _checked(version)
    where = folder() / version
    complete = where / _COMPLETE
    if complete.is_file():
        return where
    shutil.rmtree(where, ignore_errors=True)
    wanted = version if version.count(".") == 2 else f"{version}.*"
    commands = (
        (sys.executable, "-m", "venv", str(where)),
        (str(_python(version)), "-I", "-m", "pip", "install", "--disable-pip-version-check",
         "--only-binary=:all:", f"llvmlite=={wanted}"),
        (str(_python(version)), "-I", "-c", "import llvmlite.binding"),
    )  # fmt: skip
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        for command in commands:
            _run(command, say)
        complete.touch()
    except OSError as error:
        shutil.rmtree(where, ignore_errors=True)
        raise TargetUnavailable(f"{error.filename or where}: {error.strerror}") from None
    except TargetUnavailable:
        shutil.rmtree(where, ignore_errors=True)
        raise
    return where


def _run(command: Sequence[str], say: Callable[[str], None]) -> None:
    """Run to its end; TargetUnavailable with its last complaint if that is not 0."""
    complaints = []
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for line in process.stdout:
            say(line.rstrip())
            if line.strip():
                complaints.append(line.strip())
    if process.returncode:
        errors = [line for line in complaints if line.startswith("ERROR")] or complaints
        raise TargetUnavailable(
            f"{Path(command[0]).name} ended with status {process.returncode}: "
            f"{errors[0] if errors else 'it does not say why'}"
        )
