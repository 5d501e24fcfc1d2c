"""JSON and YAML whose content is not trusted."""

from __future__ import annotations

import json
import os

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.documents import MAX_DEPTH, parse_json, parse_yaml, read_json, read_json_object, read_yaml

TEXT = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=20,
)


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_json_gives_what_was_written(value):
    assert parse_json(json.dumps(value), "x") == value


@given(VALUES)
@settings(max_examples=100, deadline=None)
def test_yaml_gives_what_was_written(value):
    text = yaml.safe_dump(value)
    assert parse_yaml(text, "x") == yaml.safe_load(text)


@given(st.text() | st.binary().map(lambda b: b.decode("latin-1")))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text):
    for parse in (parse_json, parse_yaml):
        try:
            parse(text, "x")
        except BadInputError as error:
            assert "\n" not in error.message


HOSTILE_JSON = {
    "deep lists": "[" * 100_000,
    "deep and closed": "[" * 100 + "]" * 100,
    "deep objects": '{"a":' * 50_000,
    "a long number": "9" * 5000,
    "half a character": '"\\ud800"',
    "half a character as a key": '{"\\udc00": 1}',
    "NUL": '"a\\u0000b"',
    "nothing": "",
    "two values": "{}{}",
}


@pytest.mark.parametrize("name", HOSTILE_JSON)
def test_hostile_json_is_refused(tmp_path, name):
    path = tmp_path / "x.json"
    path.write_text(HOSTILE_JSON[name])
    with pytest.raises(BadInputError, match=r"x\.json"):
        read_json(path)


def _bomb(merge: bool = False) -> str:
    lines = ["a0: &a0 {x: 1}" if merge else "a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    for i in range(1, 12):
        aliases = ", ".join([f"*a{i - 1}"] * 9)
        lines.append(f"a{i}: &a{i} {{<<: [{aliases}]}}" if merge else f"a{i}: &a{i} [{aliases}]")
    return "\n".join(lines)


HOSTILE_YAML = {
    "alias bomb": _bomb(),
    "merge bomb": _bomb(merge=True),
    "an alias of itself": "&a [*a]",
    "an alias of itself in a mapping": "&a {b: *a}",
    "deep lists": "[" * 5000,
    "deep and closed": "[" * 80 + "]" * 80,
    "deep mappings": "{a: " * 3000,
    "deep blocks": "\n".join(" " * i + "a:" for i in range(300)),
    "python": "!!python/object/apply:os.system ['true']",
    "a name in python": "!!python/name:os.system",
    "no date": "2001-99-99",
    "a long number": "9" * 5000,
    "a list as a key": "? [a]\n: 1",
    "two documents": "a: 1\n---\nb: 2",
    "control characters": "a: \x01",
    "a wrong merge": "<<: 3",
    "no base 64": "!!binary 'a'",
}


@pytest.mark.parametrize("name", HOSTILE_YAML)
def test_hostile_yaml_is_refused(tmp_path, name):
    path = tmp_path / "x.yaml"
    path.write_text(HOSTILE_YAML[name])
    with pytest.raises(BadInputError, match=r"x\.yaml"):
        read_yaml(path)


REPEATED_JSON = {
    "two values": '{"a": 1, "a": 2}',
    "one value twice": '{"a": 1, "a": 1}',
    "deep": '[{"b": {"a": 1, "c": 2, "a": null}}]',
    "written in two ways": '{"a": 1, "\\u0061": 2}',
    "empty": '{"": 1, "": 2}',
    "apart": '{"a": {}, ' + ", ".join(f'"k{i}": {i}' for i in range(50)) + ', "a": {}}',
}
REPEATED_YAML = {
    "two lines": "a: 1\nb: 2\na: 3\n",
    "flow": "{a: 1, a: 2}",
    "deep": "x:\n  - y: {a: 1}\n    y: 2\n",
    "quoted and plain": "a: 1\n'a': 2\n",
    "one truth in two spellings": "true: 1\nTrue: 2\n",
    "one number in two spellings": "10: 1\n0xA: 2\n",
    "nothing in two spellings": "~: 1\nnull: 2\n",
    "in a key": "? {a: 1, a: 2}\n: 1\n",
    "two merges": "a: &a {x: 1}\nb: &b {y: 1}\nc:\n  <<: *a\n  <<: *b\n",
    "below an alias": "a: &a {x: 1, x: 2}\nb: *a\n",
}


@pytest.mark.parametrize("name", REPEATED_JSON)
def test_a_key_that_occurs_twice_is_refused_in_json(name):
    with pytest.raises(BadInputError, match="occurs twice"):
        parse_json(REPEATED_JSON[name], "x")


@pytest.mark.parametrize("name", REPEATED_YAML)
def test_a_key_that_occurs_twice_is_refused_in_yaml(name):
    with pytest.raises(BadInputError, match=r"x: key .* again on line|not YAML"):
        parse_yaml(REPEATED_YAML[name], "x")


def test_equal_keys_of_several_mappings_are_read():
    assert parse_json('[{"a": 1}, {"a": {"a": 2}}]', "x") == [{"a": 1}, {"a": {"a": 2}}]
    assert parse_yaml("- {a: 1}\n- {a: {a: 2}, 1: 1, '1': 2}\n", "x") == [{"a": 1}, {"a": {"a": 2}, 1: 1, "1": 2}]


def test_aliases_of_a_configuration_are_read():
    text = "a: &a {x: 1, y: 2}\nb: *a\nc: {<<: *a, y: 3}\n"
    assert parse_yaml(text, "x") == {"a": {"x": 1, "y": 2}, "b": {"x": 1, "y": 2}, "c": {"x": 1, "y": 3}}


def test_depth_up_to_the_limit_is_read():
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert parse_json(text, "x") == json.loads(text)


def test_an_empty_document_is_none():
    assert parse_yaml("# nothing\n", "x") is None


@pytest.mark.parametrize("read", [read_json, read_yaml])
def test_special_files_and_sizes_are_refused(tmp_path, read):
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(BadInputError, match="named pipe"):
        read(tmp_path / "fifo")
    with pytest.raises(BadInputError, match="device"):
        read("/dev/zero")
    with pytest.raises(MissingResourceError):
        read(tmp_path / "absent")
    (tmp_path / "large").write_text('"' + "a" * 100 + '"')
    with pytest.raises(BadInputError, match="larger"):
        read(tmp_path / "large", 50)


def test_an_object_is_asked_for(tmp_path):
    (tmp_path / "list.json").write_text("[]")
    with pytest.raises(BadInputError, match="no JSON object"):
        read_json_object(tmp_path / "list.json")
