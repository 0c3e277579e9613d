"""The way to a Dask scheduler: loopback, or TLS with certificates on both sides, and nothing else.

What goes over it makes machines compile and run code, so an address that anybody can listen at is refused.
"""

from __future__ import annotations

import ipaddress
import os
from importlib import import_module
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

_CONNECT: Final = 10.0
"""Seconds for the scheduler to answer at first."""
_SCHEMES: Final = ("tcp", "tls")
_QUIET: Final = (
    "distributed", "distributed.client", "distributed.batched", "distributed.core",
    "distributed.comm", "distributed.comm.tcp", "distributed.utils_comm", "tornado", "asyncio",
)  # fmt: skip
"""Loggers that would write tracebacks on a terminal about what is told here in a line."""


class ClusterError(Exception):
    """The cluster can't be used; one line that says what to do."""


def check_address(url: str) -> None:
    """ClusterError unless ``url`` is ``tls://HOST:PORT``, or ``tcp://`` to this machine by itself."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.scheme not in _SCHEMES or parts.path.strip("/"):
        raise ClusterError(f"{url!r} is no address; write tls://HOST:PORT or tcp://127.0.0.1:PORT")
    if parts.scheme == "tcp" and not _is_loopback(host):
        raise ClusterError(
            f"{url}: over plain tcp:// anybody in between can run code here and there; use tls://{host}:{port} "
            "with --cluster-tls"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def tls_files(text: str) -> tuple[Path, Path, Path]:
    """The files of ``ca.pem,cert.pem,key.pem``; ClusterError if there are none."""
    paths = [Path(name) for name in text.split(",")]
    if len(paths) != 3:
        raise ClusterError(f"{text!r}; write CA,CERTIFICATE,KEY: three files")
    for path in paths:
        if not (path.is_file() and os.access(path, os.R_OK)):
            raise ClusterError(f"{path}: no file that can be read")
    return paths[0], paths[1], paths[2]


def connect(url: str, tls: str | None) -> Any:
    """A ``distributed.Client`` of the scheduler there. ``tls``: the three files, else what Dask's own configuration
    says. ClusterError.
    """
    check_address(url)
    files = tls_files(tls) if tls else None
    if files and not url.startswith("tls:"):
        raise ClusterError(f"{url}: files for TLS, but the address is not tls://")
    try:
        distributed: Any = import_module("distributed")
    except ImportError as error:
        raise ClusterError(
            f"a cluster needs {error.name}: pip install 'clifhanger[cluster]'"
        ) from None
    _hush()
    try:
        security = None
        if url.startswith("tls:"):
            given = {}
            if files:
                given = {"tls_ca_file": str(files[0]), "tls_client_cert": str(files[1]),
                         "tls_client_key": str(files[2])}  # fmt: skip
            security = distributed.Security(require_encryption=True, **given)
            if not security.tls_ca_file:
                raise ClusterError(f"{url}: no certificates; give --cluster-tls CA,CERTIFICATE,KEY or "
                                   "set distributed.comm.tls in Dask's configuration")  # fmt: skip
        return distributed.Client(
            url, timeout=_CONNECT, security=security, set_as_default=False, name="clifhanger"
        )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        why = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ClusterError(
            f"{url}: no scheduler answers: {why}; `dask scheduler --host HOST --port PORT` starts one"
        ) from None


def _hush() -> None:
    import logging

    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
