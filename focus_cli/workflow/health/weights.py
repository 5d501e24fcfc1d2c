"""Published encoders: which are here already, and whether the others could be fetched."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

from focus_cli.workflow.health.check import PASS, WARN, Check

_HUB = ("huggingface.co", 443)
_PATIENCE_S = 3.0
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
_TRUE = {"1", "true", "yes", "on"}


def encoders() -> Iterator[Check]:
    """Optional: nothing of FOCUS needs them."""
    from focus_cli.histology.encoders import PRESETS

    here = [name for name, preset in PRESETS.items() if is_cached(preset.repository)]
    gated = [name for name, preset in PRESETS.items() if preset.gated and name not in here]
    found = f"in the cache: {', '.join(here) or 'none'}"
    fetch = "fetch them where there is a network (focus features), and let the nodes share that HF_HOME"
    if any(os.environ.get(name, "").lower() in _TRUE for name in _OFFLINE):
        yield Check("encoders", PASS, f"{found}; offline by HF_HUB_OFFLINE: no other can be used", fetch)
    elif not is_reachable():
        yield Check("encoders", PASS, f"{found}; the hub cannot be reached from here: no other can be used", fetch)
    elif not has_token():
        fix = "request access on the model's page, then hf auth login (or set HF_TOKEN)"
        yield Check("encoders", WARN, f"{found}; no token, which the gated ones need: {', '.join(gated)}", fix)
    else:
        yield Check("encoders", PASS, f"{found}; a token is there, others can be fetched where access was granted")


def cache_folder() -> Path:
    """Cache folder of the hub's client."""
    if folder := os.environ.get("HF_HUB_CACHE"):
        return Path(folder)
    return _home() / "hub"


def _home() -> Path:
    given = os.environ.get("HF_HOME")
    return Path(given).expanduser() if given else Path.home() / ".cache" / "huggingface"


def is_cached(repository: str) -> bool:
    """Whether a snapshot of a repository is in the cache."""
    folder = cache_folder() / f"models--{repository.replace('/', '--')}" / "snapshots"
    return any(path.is_dir() and any(path.iterdir()) for path in folder.glob("*"))


def has_token() -> bool:
    """Whether the hub's client would find a token. It is not read."""
    named = any(os.environ.get(name) for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"))
    return named or Path(os.environ.get("HF_TOKEN_PATH") or _home() / "token").is_file()


def is_reachable() -> bool:
    """Whether the hub responds within three seconds, the look-up of its name included."""
    responded = threading.Event()

    def connect() -> None:
        try:
            socket.create_connection(_HUB, timeout=_PATIENCE_S).close()
            responded.set()
        except OSError:
            return

    # A name look-up has no time limit.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(_PATIENCE_S)
    return responded.is_set()
