"""In the environment of `make test-oldest`, what is installed is what pyproject.toml states as the lower bound."""

from __future__ import annotations

import importlib.metadata
import os
import re
import tomllib

import pytest


@pytest.mark.skipif("FOCUS_OLDEST" not in os.environ, reason="only in the environment of make test-oldest")
def test_the_installed_versions_are_the_lower_bounds(repo):
    project = tomllib.loads((repo / "pyproject.toml").read_text())["project"]
    requirements = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    stated = dict(re.fullmatch(r"([A-Za-z0-9._-]+)>=([0-9.]+)", line).groups() for line in requirements)
    installed = {name: importlib.metadata.version(name) for name in stated}
    different = {name: (stated[name], installed[name]) for name in stated if not _same(stated[name], installed[name])}
    assert not different


def _same(stated: str, installed: str) -> bool:
    """Whether two versions are equal but for zeros at their ends."""
    return _release(stated) == _release(installed)


def _release(version: str) -> list[int]:
    numbers = [int(part) for part in re.match(r"[0-9.]+", version).group().rstrip(".").split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return numbers
