"""A real browser without a window: Chromium, spoken to over a pipe in its DevTools protocol. It may reach nothing but
files."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")


def program() -> str | None:
    """The browser's path, None where there is none."""
    return next((path for name in NAMES if (path := shutil.which(name))), None)


class Browser:
    """One page of a running browser, and what it complained of since it was opened."""

    def __init__(self, reading: int, writing: int) -> None:
        self._in, self._out = os.fdopen(reading, "rb"), os.fdopen(writing, "wb")
        self._buffer, self._count, self.session = b"", 0, ""
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            more = self._in.read1(1 << 16)
            if not more:
                raise EOFError("the browser ended")
            self._buffer += more
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command and its answer; what is reported meanwhile goes to `events`."""
        self._count += 1
        asked: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self.session:
            asked["sessionId"] = self.session
        self._out.write(json.dumps(asked).encode() + b"\0")
        self._out.flush()
        while (message := self._message()).get("id") != self._count:
            self.events.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        result: dict[str, Any] = message["result"]
        return result

    def open(self, path: Path, width: int, height: int = 900) -> None:
        """Load a file at a width in pixels, and wait for it."""
        self.events.clear()
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500)
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._message())

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript comes to."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def complaints(self) -> list[str]:
        """Errors and warnings of the console since the page was opened."""
        said = []
        for event in self.events:
            held = event.get("params", {})
            if event.get("method") == "Runtime.exceptionThrown":
                said.append(str(held["exceptionDetails"].get("text")))
            elif event.get("method") == "Log.entryAdded" and held["entry"]["level"] in ("error", "warning"):
                said.append(held["entry"]["text"])
            elif event.get("method") == "Runtime.consoleAPICalled" and held["type"] in ("error", "warning"):
                said.append(str(held["args"]))
        return said

    def requests(self) -> list[str]:
        """What the page asked for since it was opened, images inside it left out."""
        asked = [event for event in self.events if event.get("method") == "Network.requestWillBeSent"]
        return [url for event in asked if not (url := str(event["params"]["request"]["url"])).startswith("data:")]

    def pdf(self) -> bytes:
        """The page as it prints."""
        import base64

        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])


def above(descriptor: int) -> int:
    """The same open file under a number from 10 on."""
    found = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return found


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser with a user folder of its own, ended at the end."""
    path = program()
    assert path is not None
    # none of the four is 3 or 4, which the browser's own would overwrite
    (commands, asked), (answers, answered) = (map(above, os.pipe()) for _ in range(2))
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={profile}",
        "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking", "--host-resolver-rules='MAP *"
        " ~NOTFOUND'",
    ]  # fmt: skip
    # the browser reads commands from descriptor 3 and answers on 4; not every sh takes descriptors of two digits
    line = f"exec {path} {' '.join(flags)} 3<&{commands} 4>&{answered}"
    process = subprocess.Popen(
        ["bash", "-c", line], pass_fds=(commands, answered), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    os.close(commands)
    os.close(answered)
    try:
        yield Browser(answers, asked)
    finally:
        process.terminate()
        process.wait()
