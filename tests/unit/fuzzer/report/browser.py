"""A headless Chromium, spoken to by the DevTools protocol over a pipe: one page, looked at in several sizes.

It is how a page is measured and how one is looked at while it is being designed::

    python tests/unit/fuzzer/report/browser.py report.html picture.png 390 dark
"""

from __future__ import annotations

import base64
import fcntl
import itertools
import json
import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Final

CHROMIUM: Final = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_SECONDS: Final = 20.0


def _spawn(command: list[str]) -> tuple[int, int, int]:
    """Start a program that reads from descriptor 3 and writes to 4: what to read, what to write, its process."""
    pipes = [*os.pipe(), *os.pipe()]
    high = [fcntl.fcntl(pipe, fcntl.F_DUPFD_CLOEXEC, 10) for pipe in pipes]
    for pipe in pipes:
        os.close(pipe)
    theirs_in, ours_out, ours_in, theirs_out = high
    silent = [(os.POSIX_SPAWN_OPEN, n, os.devnull, os.O_RDWR, 0) for n in (0, 1, 2)]
    joined = [(os.POSIX_SPAWN_DUP2, theirs_in, 3), (os.POSIX_SPAWN_DUP2, theirs_out, 4)]
    pid = os.posix_spawn(command[0], command, os.environ, file_actions=[*silent, *joined])
    os.close(theirs_in)
    os.close(theirs_out)
    return ours_in, ours_out, pid


class Page:
    """A page in a browser of its own. ``requests``, ``complaints``: what it asked the network for, and what the
    browser had to say about it (console, exceptions, policy violations), since it was opened.
    """

    def __init__(self, profile: Path) -> None:
        assert CHROMIUM is not None
        self._in, self._out, self._pid = _spawn(
            [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars",
             "--disable-background-networking", "--disable-dev-shm-usage", "--remote-debugging-pipe",
             f"--user-data-dir={profile}"]
        )  # fmt: skip
        self._numbers = itertools.count(1)
        self._buffer = b""
        self._session = ""
        self._events: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.complaints: list[str] = []

    def __enter__(self) -> Page:
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session = ""
        try:
            if kind is None:
                self.call("Browser.close")
            else:
                os.kill(self._pid, signal.SIGTERM)
            os.waitpid(self._pid, 0)
        finally:
            os.close(self._out)
            os.close(self._in)

    def call(self, method: str, **params: Any) -> Any:
        """Ask for something and wait for the answer."""
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _SECONDS
        while True:
            answer = self._read(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return answer["result"]
            self._note(answer)

    def _read(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._in], [], [], max(deadline - time.monotonic(), 0))
            assert ready, "Chromium does not answer"
            data = os.read(self._in, 1 << 20)
            assert data, "Chromium has gone"
            self._buffer += data
        head, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(head)
        return message

    def _note(self, event: dict[str, Any]) -> None:
        method, params = event.get("method"), event.get("params", {})
        if method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])
        elif method == "Runtime.consoleAPICalled":
            self.complaints.append(f"console: {params['args']}")
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(f"exception: {params['exceptionDetails']}")
        elif method == "Log.entryAdded":
            self.complaints.append(f"log: {params['entry']['text']}")
        elif method == "Audits.issueAdded":
            self.complaints.append(f"issue: {params['issue']['code']}")
        elif method is not None:
            self._events.append(event)

    def open(self, path: Path, *, width: int, height: int = 900, scheme: str = "light") -> None:
        """Show a file in a window of so many CSS pixels; scripts have run when this returns."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height,
                  deviceScaleFactor=1, mobile=width < 600)  # fmt: skip
        self.call("Emulation.setEmulatedMedia",
                  features=[{"name": "prefers-color-scheme", "value": scheme}])  # fmt: skip
        self._events.clear()
        self.requests.clear()
        self.complaints.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        deadline = time.monotonic() + _SECONDS
        while not any(event["method"] == "Page.loadEventFired" for event in self._events):
            self._note(self._read(deadline))

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def shoot(self, path: Path, *, top: int = 0, height: int = 0) -> None:
        """A picture of the page, all of it or ``height`` pixels from ``top``."""
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": top, "width": size["width"],
                "height": min(height or size["height"], size["height"] - top), "scale": 1}  # fmt: skip
        shot = self.call(
            "Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip
        )
        path.write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    import tempfile

    source, picture, width, scheme = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder, Page(Path(folder)) as page:
        page.open(Path(source), width=int(width), scheme=scheme)
        page.shoot(Path(picture))
        print(page.requests, page.complaints, page.ask("document.documentElement.scrollWidth"))
