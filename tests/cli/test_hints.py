"""What messages and hints propose exists: every option of a text is one of the running verb, or its verb is named."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from click.testing import CliRunner

import focus_cli
from focus_cli.cli import main as cli_module
from focus_cli.cli.hints import foreign_options, options_of, owner_of, possible_hint
from focus_cli.cli.main import VERBS, cli
from focus_cli.core.errors import BadInputError

PACKAGE = Path(focus_cli.__file__).parent
# Calls whose texts a user reads.
SPEAKING = re.compile(r"(Error|NotRunnable|Preempted|Check)$|^(say|warn)$|^(append|check_memory)$")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# Options of other programs, and of the modules that rules call.
ELSEWHERE = {"--force-reinstall", "--no-deps", "--upgrade", "--shm-size", "--unlock", "--me", "--cores", "--directory"}


def text_of(node: ast.AST) -> str:
    """The text of a string, with … for what is filled in."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(text_of(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    if isinstance(node, ast.BinOp):
        return text_of(node.left) + text_of(node.right)
    return ""


@cache
def texts() -> list[tuple[str, str]]:
    """(where, text) of everything in the package that a refusal, a warning or a line of progress may say."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if not SPEAKING.search(name):
                continue
            for part in [*node.args, *(keyword.value for keyword in node.keywords)]:
                for inner in ast.walk(part):
                    if OPTION.search(text := text_of(inner)):
                        found.append((f"{path.relative_to(PACKAGE)}:{node.lineno}", text))
    return found


@cache
def all_options() -> frozenset[str]:
    return frozenset().union(*(options_of(cli.get_command(None, verb)) for verb in VERBS))


def test_there_are_texts_to_look_at():
    assert len({text for _, text in texts()}) > 80


def test_every_option_in_a_text_is_one_of_some_verb():
    unknown = {
        (where, option)
        for where, text in texts()
        for option in OPTION.findall(text)
        if option not in all_options() | ELSEWHERE and "sbatch" not in text
    }
    assert not unknown


def test_an_option_after_a_verb_is_that_verbs():
    wrong = {(where, text) for where, text in texts() if re.search(r"\bfocus [a-z]+\b", text)
             and any(_named_wrongly(part) for part in text.split(";"))}  # fmt: skip
    assert not wrong


def _named_wrongly(part: str) -> bool:
    verbs = re.findall(r"\bfocus ([a-z]+)\b", part)
    known = [verb for verb in verbs if verb in VERBS]
    return bool(known) and bool(foreign_options(part[part.index(f"focus {known[0]}") :], known[0], cli))


@pytest.mark.parametrize("verb", VERBS)
def test_a_hint_names_only_what_can_be_given(verb):
    """Every hint of the package, as it is shown by each verb: foreign options come with the verb that has them."""
    for where, text in texts():
        shown = possible_hint(text, verb, cli)
        for part in re.split(r"(?<=[;?.])\s+", shown):
            for option in foreign_options(part, verb, cli):
                stated = re.search(rf"{option}\b[^()]*: (?:an )?options? of focus ([a-z]+)\)", part)
                assert stated or option in ELSEWHERE, (where, shown)
                if stated:
                    assert option in options_of(cli.get_command(None, stated[1])), (where, shown)


@pytest.mark.parametrize(
    ("verb", "hint", "shown"),
    [
        ("preprocess", "pass --landmarks; --force continues", "pass --landmarks; --force continues"),
        ("enhance", "pass --landmarks; --force continues", "pass --landmarks; --force continues"),
        (
            "inspect",
            "leave it; --force continues",
            "leave it; --force continues (--force: an option of focus preprocess)",
        ),
        ("why", "run focus corpus again with --verify", "run focus corpus again with --verify"),
        ("why", "pip install --upgrade x", "pip install --upgrade x"),
        ("annotate", "pass --leave-out block", "pass --leave-out block"),
    ],
)
def test_a_hint_is_left_alone_where_it_can_be_followed(verb, hint, shown):
    assert possible_hint(hint, verb, cli) == shown


def test_verbs_that_make_samples_have_the_same_options():
    common = {"--no-image", "--align", "--align-from", "--landmarks", "--register", "--orient", "--shift-um"}
    common |= {"--step-um", "--organ", "--species", "--force", "--image", "--region", "--encoder", "--device"}
    for verb in ("preprocess", "enhance"):
        assert common <= options_of(cli.get_command(None, verb)), verb
    assert "--cell-type" in options_of(cli.get_command(None, "enhance"))


def test_an_owner_has_all_of_the_options():
    assert owner_of(["--landmarks", "--force"], cli) == "preprocess"
    assert owner_of(["--nosuch"], cli) is None


def test_the_command_line_shows_the_possible_hint(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise BadInputError("no", hint="--register finds it")

    monkeypatch.setattr("focus_cli.genes.read_var", refuse)
    done = CliRunner().invoke(cli, ["genes", str(tmp_path)])
    assert done.exception.hint == "--register finds it (--register: an option of focus preprocess)"


# --- mistyped names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["enhnace"], "No such command 'enhnace'; did you mean enhance?"),
        (["Enhance"], "did you mean enhance?"),
        (["anotate", "fit"], "did you mean annotate?"),
        (["annotate", "fti"], "No such command 'fti'; did you mean fit?"),
        (["outcome", "aply"], "did you mean apply?"),
        (["pre"], "did you mean"),
        (["zzz"], "No such command 'zzz'"),
        (["--hlep"], "Did you mean --help?"),
        (["train", "x", "--ouput", "y"], "Did you mean --out?"),
        (["train"], "Missing argument"),
        (["embed", "x", "--out", "a.h5ad", "--mode", "foo"], "'auto'"),
        (["doctor", "a", "b"], "unexpected extra argument"),
    ],
)
def test_a_mistyped_command_is_one_line_and_a_hint(monkeypatch, capsys, words, said):
    monkeypatch.setattr("sys.argv", ["focus", *words])
    with pytest.raises(SystemExit) as ended:
        cli_module.main()
    assert ended.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("focus: error: ") and said.replace("'", "") in lines[0].replace("'", "")
    assert len(lines) == 2 and lines[1].startswith("  hint: focus") and lines[1].endswith("--help")


def test_every_exit_code_is_in_the_help():
    from focus_cli.core import errors

    shown = CliRunner().invoke(cli, ["--help"], prog_name="focus").output
    codes = {value for name, value in vars(errors).items() if name.startswith("EXIT_") and isinstance(value, int)}
    assert all(re.search(rf"\b{code}\b", shown) for code in codes)


@pytest.mark.parametrize("verb", ["annotate fit", "annotate apply", "outcome fit", "outcome apply"])
def test_parts_of_groups_have_examples(verb):
    shown = CliRunner().invoke(cli, [*verb.split(), "--help"], prog_name="focus")
    assert f"focus {verb} " in shown.output


@pytest.mark.parametrize("words", [["help"], ["help", "train"], ["annotate", "help", "fit"], ["train", "--help"]])
def test_help_can_be_asked_for_in_words(words):
    shown = CliRunner().invoke(cli, words, prog_name="focus")
    assert shown.exit_code == 0
    assert "Usage" in shown.output
    assert all(word in shown.output for word in words if word not in ("help", "--help"))
