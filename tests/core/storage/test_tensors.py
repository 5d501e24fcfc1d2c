"""Arrays of safetensors files, checked before they are used."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from safetensors.numpy import save

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.tensors import Expected, read_tensors

WANTED = {"a": Expected((None, 2)), "b": Expected((3,), ("int64",)), "c": Expected(optional=True)}
GOOD = {"a": np.ones((4, 2), np.float32), "b": np.arange(3)}


def written(path, arrays):
    path.write_bytes(save(arrays))
    return path


def test_what_was_written_is_read(tmp_path):
    found = read_tensors(written(tmp_path / "x", GOOD), WANTED)
    assert sorted(found) == ["a", "b"] and all(np.array_equal(found[k], GOOD[k]) for k in GOOD)
    more = GOOD | {"d": np.zeros(1, np.float16), "one": np.array(1.0), "none": np.zeros((0, 3))}
    assert sorted(read_tensors(written(tmp_path / "x", more), WANTED, others=True)) == sorted(more)
    assert sorted(read_tensors(tmp_path / "x")) == sorted(more)


WRONG = {
    "another type": GOOD | {"a": np.ones((4, 2), np.float64)},
    "whole numbers": GOOD | {"a": np.ones((4, 2), np.int64)},
    "another shape": GOOD | {"a": np.ones((4, 3), np.float32)},
    "fewer axes": GOOD | {"a": np.ones(4, np.float32)},
    "missing": {"a": GOOD["a"]},
    "more": GOOD | {"d": np.zeros(1, np.float32)},
    "NaN": GOOD | {"a": np.full((4, 2), np.nan, np.float32)},
    "infinite": GOOD | {"a": np.full((4, 2), np.inf, np.float32)},
}


@pytest.mark.parametrize("name", WRONG)
def test_another_content_is_refused(tmp_path, name):
    with pytest.raises(BadInputError, match=r"x\.safetensors"):
        read_tensors(written(tmp_path / "x.safetensors", WRONG[name]), WANTED)


def _blob(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


DAMAGED = {
    "empty": b"",
    "short": b"abc",
    "no header": (2**40).to_bytes(8, "little") + b"{}",
    "no JSON": _blob(b"{{"),
    "deep": _blob(b"[" * 100000),
    "a list": _blob([]),
    "no shape": _blob({"a": {"dtype": "F32", "data_offsets": [0, 4]}}, bytes(4)),
    "offsets beyond": _blob({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, bytes(4)),
    "a size of its own": _blob({"a": {"dtype": "F32", "shape": [2**62], "data_offsets": [0, 4]}}, bytes(4)),
    "a negative side": _blob({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, bytes(4)),
    "an unknown type": _blob({"a": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}}, bytes(4)),
    "eight bits": _blob({"a": {"dtype": "F8_E5M2", "shape": [4], "data_offsets": [0, 4]}}, bytes(4)),
    "no text": _blob(b"\xff\xfe"),
    "a number": _blob({"a": 3}),
}


@pytest.mark.parametrize("name", DAMAGED)
@pytest.mark.parametrize("wanted", [None, {"a": Expected((1,))}])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, name, wanted):
    (tmp_path / "x.safetensors").write_bytes(DAMAGED[name])
    if name == "eight bits" and wanted is None:
        pytest.skip("some versions of safetensors read it")
    with pytest.raises(BadInputError, match=r"x\.safetensors") as caught:
        read_tensors(tmp_path / "x.safetensors", wanted)
    assert "\n" not in caught.value.message


def test_special_files_are_refused(tmp_path):
    os.mkfifo(tmp_path / "fifo")
    for path in (tmp_path / "fifo", "/dev/zero", tmp_path):
        with pytest.raises(BadInputError):
            read_tensors(path)
    with pytest.raises(MissingResourceError):
        read_tensors(tmp_path / "absent")
