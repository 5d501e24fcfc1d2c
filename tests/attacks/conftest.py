"""What the attacks share: a world of small files, and processes that have imported everything."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parents[1]
_PATHS = [str(TESTS / "attacks"), str(TESTS / "platforms"), str(TESTS), str(TESTS.parent)]
sys.path[:0] = [path for path in _PATHS if path not in sys.path]


@pytest.fixture(scope="session", autouse=True)
def _import_paths() -> Iterator[None]:
    """The process that others are forked from imports by the environment's path, not from pytest's folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([*_PATHS, os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep))
        patch.setenv("PYTHONSAFEPATH", "1")
        patch.setenv("OMP_NUM_THREADS", "1")  # one process is at work for each core
        yield


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path | str]:
    """One small file or folder of every kind, by its name; not to be changed."""
    from world import build

    made = build(tmp_path_factory.mktemp("world"))
    made["image"] = next(made["raw"].rglob("*.tif"))
    made["domains_file"] = next(made["domains"].glob("*.h5ad"))
    made["gene"] = made["genes"].read_text().split()[0]
    return made
