"""A real browser without a screen, driven over its DevTools pipe: pages run as they are, their policy included."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

_PATIENCE_S = 60.0


class Browser:
    """Chromium with one page open. The test skips where there is none that runs.

    Attributes
    ----------
    console
        Everything that was said on the console, exceptions and refusals of the policy included.
    """

    def __init__(self, size: tuple[int, int] = (1300, 1000)) -> None:
        chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if chromium is None:
            pytest.skip("no chromium")
        self._home = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()

        def connect() -> None:  # the pipe is file 3 to read from and file 4 to write to
            high = [os.dup(theirs_in), os.dup(theirs_out)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        command = [chromium, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        command += ["--remote-debugging-pipe", f"--user-data-dir={self._home.name}"]
        self._process = subprocess.Popen(
            [*command, f"--window-size={size[0]},{size[1]}"],
            preexec_fn=connect,
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer, self._number, self._session = b"", 0, None
        self.console: list[str] = []
        try:
            target = self._call("Target.createTarget", url="about:blank")["targetId"]
            self._session = self._call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        except (OSError, TimeoutError) as error:
            self.close()
            pytest.skip(f"chromium does not run here: {error}")
        for part in ("Page", "Runtime", "Log"):
            self._call(f"{part}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the browser."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
        os.close(self._in)
        os.close(self._out)
        self._home.cleanup()

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + _PATIENCE_S
        while True:
            while b"\0" not in self._buffer:
                if not select.select([self._in], [], [], max(0.0, end - time.monotonic()))[0]:
                    raise TimeoutError(f"no response to {method}")
                read = os.read(self._in, 1 << 20)
                if not read:
                    raise OSError("the browser ended")
                self._buffer += read
            text, self._buffer = self._buffer.split(b"\0", 1)
            told = json.loads(text)
            if told.get("id") == self._number:
                return told.get("result", told)
            if told.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"):
                self.console.append(json.dumps(told["params"])[:500])

    def open(self, page: Path, ready: str = 'document.querySelector(".viewer[data-ready]") !== null') -> Browser:
        """Open a page and wait until it is ready: until its first slide is drawn."""
        self._call("Page.navigate", url=Path(page).resolve().as_uri())
        self.until(ready)
        return self

    def run(self, code: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        told = self._call("Runtime.evaluate", expression=code, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def until(self, code: str) -> None:
        """Wait until an expression is true."""
        end = time.monotonic() + _PATIENCE_S
        while not self.run(code):
            assert time.monotonic() < end, f"never true: {code}; console: {self.console}"
            time.sleep(0.05)

    def pick(self, name: str) -> None:
        """Choose what the first slide shows."""
        self.run(
            f"""(function () {{
              var select = document.querySelector("[data-set=name]"), name = {json.dumps(name)};
              select.value = Array.from(select.options).find(function (o) {{ return o.text === name; }}).value;
              select.dispatchEvent(new Event("change"));
            }})()"""
        )
        self.until('document.querySelector(".key-box").childElementCount > 0')

    def key(self, name: str) -> None:
        """Press a key on the first slide."""
        self.run(f'document.querySelector("canvas").dispatchEvent(new KeyboardEvent("keydown", {{key: "{name}"}}))')

    def mouse(self, what: str, x: float, y: float, **more: Any) -> None:
        """Move, press or release the mouse at a place of the window."""
        self._call("Input.dispatchMouseEvent", type=f"mouse{what}", x=x, y=y, **more)

    def read(self) -> str:
        """What is said of the location that is pointed at."""
        return " ".join(self.run('document.querySelector(".read").innerText').split())

    def dark(self) -> None:
        """Ask for dark pages."""
        self._call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark"}])

    def picture(self, path: Path) -> None:
        """Save what is seen."""
        Path(path).write_bytes(base64.b64decode(self._call("Page.captureScreenshot", format="png")["data"]))
