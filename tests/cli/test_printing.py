"""Names from files stand in what is printed as text: they command no terminal, and any encoding will do."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from focus_cli.cli.printing import print_json, print_rows
from focus_cli.core.progress import print_message, warn
from focus_cli.reporting.explanation_text import explain_text

_NASTY = "a\x1b]0;owned\x07\x1b[2J\x9b31m\u202eb\rc\x00µ"
_COMMANDS = set("\x1b\x07\x9b\u202e\r\x00")


def test_nothing_that_is_printed_commands_a_terminal(capsys):
    print_message(_NASTY)
    warn([_NASTY])
    print_rows([("name", _NASTY)])
    print_json({_NASTY: [_NASTY]})
    fields = [{"name": _NASTY, "meaning": _NASTY, "unit": _NASTY}]
    record = {"command": _NASTY, "settings": {_NASTY: _NASTY}}
    result = {"name": _NASTY, "what": _NASTY, "facts": {_NASTY: _NASTY}, "warnings": [_NASTY], "fields": fields}
    print(explain_text(result | {"made_by": record, "jobs": [], "upstream": [], "use": [_NASTY]}))
    said = capsys.readouterr()
    assert not _COMMANDS & set(said.out + said.err)
    assert "µ" in said.out and "µ" in said.err


def test_json_reads_back_as_it_was(capsys):
    print_json({_NASTY: [_NASTY, "é"]})
    assert json.loads(capsys.readouterr().out) == {_NASTY: [_NASTY, "é"]}


def _focus(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    start = "from focus_cli.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-P", "-c", start, *words],
        cwd=cwd,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


def test_an_encoding_without_the_characters_ends_no_command(tmp_path):
    done = _focus("enhance", "--help", cwd=tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and "\\xb5m" in done.stdout, done.stderr


def test_nobody_reading_to_the_end_is_no_failure(tmp_path):
    start = [sys.executable, "-P", "-c", "from focus_cli.cli.main import main; main()", "features", "--list"]
    process = subprocess.Popen(start, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    said = process.stderr.read()
    assert process.wait() == 0 and not said, said


_CLOSED = pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", "2>/dev/full"])


@_CLOSED
def test_closed_streams_end_no_command(tmp_path, closed):
    start = "from focus_cli.cli.main import main; main()"
    words = shlex.join([sys.executable, "-P", "-c", start, "init", "study"])
    assert subprocess.run(["bash", "-c", f"{words} {closed}"], cwd=tmp_path, check=False).returncode == 0
    assert (tmp_path / "study" / "samples.tsv").is_file()


def test_a_folder_that_is_gone_is_named(tmp_path, monkeypatch):
    from focus_cli.cli.endings import refusal_of

    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(FileNotFoundError) as caught:
        os.getcwd()
    assert refusal_of(caught.value).exit_code == 4
    os.chdir(tmp_path)
    assert refusal_of(FileNotFoundError("x")) is None
