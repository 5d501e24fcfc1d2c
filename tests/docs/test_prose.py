"""Pages, help texts and messages keep to the vocabulary of ``docs/hooks/prose.txt``."""

from __future__ import annotations

from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]

VOCABULARY = """
# words to avoid
[everywhere]
at hand -> available
heal(s|ed)? -> repair
[pages]
room(s)? -> space
"""


@pytest.fixture
def prose(monkeypatch):
    monkeypatch.syspath_prepend(REPO / "docs" / "hooks")
    import prose

    return prose


@pytest.fixture
def entries(prose):
    return prose.read_vocabulary(VOCABULARY)


def found(prose, entries, folder: Path) -> list[tuple[str, int, str]]:
    found = prose.search_repository(folder, entries)
    return [(path.relative_to(folder).as_posix(), finding.line, finding.text) for path, finding in found]


def write(folder: Path, name: str, text: str) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")


def test_pages_help_texts_and_messages_keep_to_the_vocabulary(prose):
    entries = prose.read_vocabulary(prose.VOCABULARY.read_text(encoding="utf-8"))
    findings = [
        f"{path.relative_to(REPO)}:{finding.line}: {finding.text!r}; write: {finding.instead}"
        for path, finding in prose.search_repository(REPO, entries)
    ]
    assert not findings, "\n".join(findings)


def test_a_phrase_is_found_in_any_case_and_over_a_line_break(prose, entries, tmp_path):
    write(
        tmp_path, "docs/page.md", "# Page\n\nThere is no Room, and nothing is at\n  hand.\n\n| a | rooms |\n|---|---|\n"
    )
    assert found(prose, entries, tmp_path) == [
        ("docs/page.md", 3, "Room"),
        ("docs/page.md", 3, "at hand"),
        ("docs/page.md", 6, "rooms"),
    ]


def test_ordinary_words_pass(prose, entries, tmp_path):
    write(tmp_path, "README.md", "Healthy tissue of a mushroom, edited by hand; roommates at handover; room_size.\n")
    assert found(prose, entries, tmp_path) == []


def test_code_links_and_comments_of_pages_are_left_out(prose, entries, tmp_path):
    page = (
        "`room` and ``a ` room`` and a code span of\ntwo `lines, one\nroom` [text](room.md#room) <!-- room\n-->\n"
        "```python\nroom = 1  # at hand\n```\n\n- item\n\n  ```\n  room\n  ```\n\nhttps://example.org/room\n\n"
        "A lone ` stays prose.\n\nThe last room.\n"
    )
    write(tmp_path, "CHANGELOG.md", page)
    assert found(prose, entries, tmp_path) == [("CHANGELOG.md", page.count("\n"), "room")]


def test_strings_and_docstrings_of_code_are_searched_and_comments_are_not(prose, entries, tmp_path):
    source = (
        '"""A module.\n\nNothing is at hand.\n"""\n'  # lines 1 to 4
        "at_hand = 1  # at hand\n"
        "message = f\"{at_hand} heals {'at hand' if at_hand else 2}\"\n"
        'joined = ("nothing is at "\n    "hand")\n'
        'room = "a room is for pages alone", "`heal` is code"\n'
    )
    write(tmp_path, "focus_cli/part/module.py", source)
    assert found(prose, entries, tmp_path) == [
        ("focus_cli/part/module.py", 3, "at hand"),
        ("focus_cli/part/module.py", 6, "at hand"),
        ("focus_cli/part/module.py", 6, "heals"),
        ("focus_cli/part/module.py", 7, "at hand"),
    ]


def test_text_of_templates_is_searched_without_tags_and_expressions(prose, entries, tmp_path):
    page = (
        '{# at hand #}\n<p class="heal">{{ heal }} It\n heals.</p>\n<script>heal();</script>{% if heal %}{% endif %}\n'
    )
    write(tmp_path, "focus_cli/reporting/page.html.j2", page)
    assert found(prose, entries, tmp_path) == [("focus_cli/reporting/page.html.j2", 3, "heals")]


@pytest.mark.parametrize("line", ["[pages]\nroom", "[pages]\nroom -> ", "room -> space", "[page]\nroom -> space"])
def test_a_line_that_is_no_entry_is_refused(prose, line):
    with pytest.raises(ValueError, match="not an entry"):
        prose.read_vocabulary(line)


def test_findings_are_printed_with_file_line_and_replacement(prose, tmp_path, monkeypatch, capsys):
    write(tmp_path, "vocabulary.txt", VOCABULARY)
    write(tmp_path, "docs/page.md", "A room.\n")
    monkeypatch.setattr(prose, "REPO", tmp_path)
    monkeypatch.setattr(prose, "VOCABULARY", tmp_path / "vocabulary.txt")
    assert prose.main() == 1
    assert capsys.readouterr().out == "docs/page.md:1: 'room'; write: space\n"
    write(tmp_path, "docs/page.md", "A space.\n")
    assert prose.main() == 0
