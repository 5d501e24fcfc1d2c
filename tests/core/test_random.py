"""Named random streams: registered numbers, independent of each other, and the same for the same seed."""

from __future__ import annotations

import ast
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

import focus_cli
from focus_cli.core.random import SHARED, STREAMS, stream

PACKAGE = Path(focus_cli.__file__).parent


def test_names_of_one_stage_share_a_number_only_where_it_is_stated() -> None:
    by_number = defaultdict(list)
    for name, number in STREAMS.items():
        if number is not None:
            by_number[name.split("/")[0], number].append(name)
    shared = {frozenset(pair) for names in by_number.values() for pair in combinations(names, 2)}
    assert shared == SHARED


@pytest.mark.parametrize("name", STREAMS)
def test_a_stream_is_the_generator_of_seed_number_and_parts(name: str) -> None:
    number = STREAMS[name]
    words = [7, *([] if number is None else [number]), 2, 5]
    expected = np.random.default_rng(words).random(4)
    np.testing.assert_array_equal(stream(7, name, 2, 5).random(4), expected)
    assert not np.array_equal(stream(8, name, 2, 5).random(4), expected)
    assert not np.array_equal(stream(7, name, 2, 6).random(4), expected)


def test_a_name_that_is_not_registered_is_refused() -> None:
    with pytest.raises(KeyError, match="nowhere"):
        stream(0, "nowhere/at all")


def _calls(tree: ast.AST, function: str) -> list[ast.Call]:
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", "")) == function]


def test_no_module_numbers_its_streams_itself() -> None:
    allowed = {PACKAGE / "core" / "random.py", PACKAGE / "simulation" / "streams.py"}
    numbered = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if path not in allowed
        for call in _calls(ast.parse(path.read_text(encoding="utf-8")), "default_rng")
        if call.args and isinstance(call.args[0], ast.List | ast.Tuple)
    ]
    assert not numbered


def test_every_registered_name_is_used() -> None:
    source = "\n".join(p.read_text(encoding="utf-8") for p in PACKAGE.rglob("*.py") if p.name != "random.py")
    unused = [name for name in STREAMS if f'"{name}"' not in source and f'"{name.split("/", 1)[1]}"' not in source]
    assert not unused
