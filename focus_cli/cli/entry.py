"""Start of the `focus` command: signal handlers are installed before slow imports."""

from __future__ import annotations

import sys
from typing import NoReturn

from focus_cli.core.interrupts import Interrupted, end_on_signals


def main() -> NoReturn:
    """Entry point of the `focus` script; see `focus_cli.cli.main.main`."""
    end_on_signals()
    try:
        from focus_cli.cli.main import main as run
    except Interrupted as error:
        sys.stderr.write("focus: interrupted\n")
        sys.exit(128 + error.number)
    run()
