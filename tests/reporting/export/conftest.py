"""An enhanced file and one analysis result of every kind, as the tests of the report make them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "reporting"))
import fake_analyses
import fake_enhanced


@pytest.fixture(scope="session")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Path]]:
    """The enhanced file, and its analysis results by kind; not to be changed."""
    folder = tmp_path_factory.mktemp("export")
    fake_enhanced.write(fake_enhanced.enhanced("S1"), folder / "S1.h5ad")
    return folder / "S1.h5ad", fake_analyses.write_all(folder / "S1.h5ad", folder / "analyses")
