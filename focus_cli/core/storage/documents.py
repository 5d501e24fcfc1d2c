"""JSON and YAML from files whose content is not trusted.

They are bounded in size, in depth and in what aliases expand to, and no mapping has a key twice: the standards leave
open which value counts, and the parsers take the last one silently.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.regular import LIMIT, read_text_bounded

MAX_DEPTH = 64
YAML_LIMIT = 4 << 20  # bytes; PyYAML reads about 0.1 MiB a second
_HINT = "restore the file, or write it again"
_MAX_NODES = 200_000  # of a YAML document, its aliases expanded
_MERGE = "tag:yaml.org,2002:merge"


def read_json(path: Path, limit: int = LIMIT) -> Any:
    """The content of a JSON file.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no regular file, larger than `limit` bytes, no JSON, nested too deeply, holds a key twice, or text
        that cannot be written again (NUL characters, halves of surrogate pairs).
    """
    return parse_json(read_text_bounded(path, limit), str(path))


def parse_json(text: str | bytes, name: str) -> Any:
    """As `read_json`, of a text that was read before; `name` stands in messages."""
    try:
        value = json.loads(text, object_pairs_hook=partial(_without_repeats, name=name))
    except (ValueError, RecursionError) as error:
        raise BadInputError(f"{name} is not JSON: {_reason(error)}", hint=_HINT) from error
    _check(value, name)
    return value


def read_json_object(path: Path, limit: int = LIMIT) -> dict[str, Any]:
    """As `read_json`, of a file that holds an object."""
    value = read_json(path, limit)
    if not isinstance(value, dict):
        raise BadInputError(f"{path} holds no JSON object", hint=_HINT)
    return value


def read_yaml(path: Path, limit: int = YAML_LIMIT) -> Any:
    """The content of a YAML file: plain values only.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no regular file, larger than `limit` bytes, no YAML, nested too deeply, holds a key twice, or its
        aliases expand to more than a description needs.
    """
    return parse_yaml(read_text_bounded(path, limit), str(path))


def parse_yaml(text: str, name: str) -> Any:
    """As `read_yaml`, of a text that was read before; `name` stands in messages."""
    loader = None
    try:
        # Aliases are counted on the graph of nodes: constructing would expand merge keys (``<<``) already.
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        if node is None:
            return None
        _count_nodes(node, name)
        _refuse_repeated_keys(node, name)
        value = loader.construct_document(node)
    except (yaml.YAMLError, ValueError, TypeError, OverflowError, AttributeError, RecursionError) as error:
        hint = "indent with spaces, not with tabs" if "'\\t'" in str(error) else "check the indentation there"
        raise BadInputError(f"{name} is not YAML: {_reason(error)}", hint=hint) from error
    finally:
        if loader is not None:
            loader.dispose()
    _check(value, name)
    return value


def _without_repeats(pairs: list[tuple[str, Any]], name: str) -> dict[str, Any]:
    """An object of JSON from its pairs."""
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadInputError(f"{name}: the key {twice[:80]!r} occurs twice in one object", hint=_HINT)
    return value


def _refuse_repeated_keys(root: yaml.Node, name: str) -> None:
    """Refuse a mapping that has a key twice; its own keys may override what a merge key (``<<``) brings."""
    constructor = yaml.constructor.SafeConstructor()
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            lines: dict[Any, int] = {}
            for key, value in node.value:
                waiting.append(value)
                if not isinstance(key, yaml.ScalarNode):
                    continue
                # ``true`` and ``True`` are one key, ``1`` and ``"1"`` are two.
                held = "<<" if key.tag == _MERGE else constructor.construct_object(key)
                line = key.start_mark.line + 1
                if held in lines:
                    raise BadInputError(
                        f"{name}: key {key.value} is on line {lines[held]} and again on line {line}",
                        hint="leave one of them out",
                    )
                lines[held] = line


def _count_nodes(root: yaml.Node, name: str) -> None:
    """Refuse a graph of nodes that expands to too many, or that contains itself."""
    sizes: dict[int, int] = {}
    open_nodes: set[int] = set()

    def expanded(node: yaml.Node, depth: int) -> int:
        if id(node) in sizes:
            return sizes[id(node)]
        if id(node) in open_nodes:
            raise BadInputError(f"{name}: an alias contains itself", hint=_HINT)
        if depth > MAX_DEPTH:
            raise BadInputError(f"{name} is nested more than {MAX_DEPTH} levels deep", hint=_HINT)
        open_nodes.add(id(node))
        total = 1
        if isinstance(node, yaml.SequenceNode):
            total += sum(expanded(child, depth + 1) for child in node.value)
        elif isinstance(node, yaml.MappingNode):
            total += sum(expanded(key, depth + 1) + expanded(value, depth + 1) for key, value in node.value)
        open_nodes.discard(id(node))
        if total > _MAX_NODES:
            raise BadInputError(f"{name}: its aliases expand to more than {_MAX_NODES:,} values", hint=_HINT)
        sizes[id(node)] = total
        return total

    expanded(root, 0)


def _check(value: Any, name: str) -> None:
    """Refuse what is nested too deeply, and text that can stand in no file or path."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise BadInputError(f"{name} is nested more than {MAX_DEPTH} levels deep", hint=_HINT)
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.keys()
                below += item.values()
            elif isinstance(item, (list, tuple, set)):
                below += item
            elif isinstance(item, str) and not _is_text(item):
                raise BadInputError(f"{name} holds text that cannot be written: {item[:40]!r}", hint=_HINT)
        level, depth = below, depth + 1


def _is_text(text: str) -> bool:
    if text.isascii():
        return "\0" not in text
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, yaml.YAMLError):
        return " ".join(str(error).split()).replace('in "<unicode string>", ', "")[:300]
    return (str(error).splitlines() or ["damaged"])[0][:200]
