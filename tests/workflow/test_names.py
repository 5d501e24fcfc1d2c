"""Names and paths of any kind reach the verbs as they are written, or are refused before anything runs."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from snakemake.cli import parse_config
from snakemake.io import apply_wildcards
from snakemake.utils import format as snakemake_format

from focus_cli.core.errors import BadInputError, FocusError, UsageError
from focus_cli.workflow.config import load_config, load_samples
from focus_cli.workflow.config.variables import expand, input_path, output_path
from focus_cli.workflow.plan import make_plan
from focus_cli.workflow.shell import by, each, flags
from focus_cli.workflow.starting import with_samples

BIN = Path(sys.executable).parent
# What shells, Snakemake, argument parsers and YAML read as more than a character.
LOADED = st.sampled_from("{}{}'\"\\$`;&|*?~#=-<>()[]!%: \t\nabS1é漢.,/_")
TEXT = st.one_of(
    st.text(LOADED, min_size=1, max_size=30),
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1),
    st.sampled_from(["{sample}", "{wildcards.sample}", "raw_{sample}", "--out", "-x", "{{sample}}", "{a,b+}", "'{x}'"]),
)


class _Wildcards:
    sample = "S1"

    def __getitem__(self, name):
        return {"sample": "S1", "wildcards.sample": "S1"}[name]


def words_of(text: str) -> list[str]:
    """The words that a verb is given where a rule's parameter is `text`: Snakemake's two steps, then the shell's."""
    parameter = apply_wildcards(text, _Wildcards())
    return shlex.split(snakemake_format("{parameter}", parameter=parameter, wildcards=_Wildcards()))


def given_to_a_verb(words: list[str]) -> dict[str, list[str]]:
    import click

    found = {}

    @click.command()
    @click.option("--image", multiple=True)
    @click.option("--cell-type", multiple=True)
    def verb(**options):
        found.update({name: list(values) for name, values in options.items()})

    done = CliRunner().invoke(verb, words)
    assert done.exit_code == 0, done.output
    return found


@settings(deadline=None)
@given(TEXT, TEXT)
def test_an_option_holds_exactly_the_text_that_was_given(image, kind):
    words = words_of(f"{flags(image=image)} {each('cell-type', [kind, kind])}")
    assert given_to_a_verb(words) == {"image": [image], "cell_type": [kind, kind]}


@settings(deadline=None)
@given(st.lists(TEXT, min_size=1, max_size=3))
def test_a_real_shell_sees_the_same_words(values):
    text = apply_wildcards(each("image", values), _Wildcards())
    split = shlex.split(text)
    # One process for every example is slow: the shell's own words are compared where they are hardest.
    if not any(c in text for c in '{"\\`\n'):
        return
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {text}"], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[:-1] == split


@settings(deadline=None)
@given(TEXT)
def test_the_sheet_of_the_command_line_is_read_back_by_snakemake(name):
    override = with_samples(["--cores", "1"], name)
    assert override[2] == "--config"
    assert parse_config([override[3]]) == {"samples": name}


def test_a_plain_sheet_is_written_as_it_is():
    assert with_samples([], Path("a/cohort.tsv")) == ["--config", "samples=a/cohort.tsv"]


@settings(deadline=None)
@given(TEXT)
def test_a_path_of_a_rule_is_kept_or_refused(text):
    try:
        path = input_path(text.replace("$", "$$").replace("~", "_"))
    except UsageError as error:
        assert re.search(r"\{[^{}]*\}", text) and error.hint
        return
    assert apply_wildcards(path, _Wildcards()) == path
    assert not path.startswith("-")
    assert os.path.abspath(path) == os.path.abspath(text.replace("~", "_"))


@settings(deadline=None)
@given(TEXT)
def test_an_output_folder_has_no_brace_and_no_dash_in_front(text):
    try:
        path = output_path(text.replace("$", "$$"))
    except UsageError:
        assert "{" in text or "}" in text
        return
    assert not path.startswith("-") and not set("{}") & set(path)


def test_the_value_of_a_variable_is_not_expanded_again(monkeypatch):
    monkeypatch.setenv("PLACE", "a$b{c")
    assert expand("${PLACE}/$PLACE/$$x") == "a$b{c/a$b{c/$x"


def test_a_lookup_keeps_braces_out_of_patterns():
    look_up = by("sample", ["S1"], lambda name: flags(region=f"{{sample}} {name}"))
    assert shlex.split(look_up({"sample": "S1"})) == ["--region", "{sample} S1"]


# --- sheets and configurations -----------------------------------------------------------------------------


def write(folder: Path, config: str = "", *lines: str, header: str = "sample\tpath\timage") -> Path:
    (folder / "samples.tsv").write_text("\n".join([header, *lines]) + "\n")
    (folder / "config.yaml").write_text(f"samples: samples.tsv\n{config}")
    return folder / "config.yaml"


@pytest.mark.parametrize("name", ["raw_{sample}", "{wildcards.sample}", "{x,y+}", "a{ b }c"])
def test_braces_in_a_sheet_are_refused_with_line_and_column(tmp_path, name):
    (tmp_path / name).mkdir()
    write(tmp_path, "", "S1\traw", f"S2\traw\t{name}")
    with pytest.raises(BadInputError, match=r"line 3: image: .*wildcard.*link without braces") as refused:
        load_samples(tmp_path / "samples.tsv")
    assert name in refused.value.message


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ("output: 'out_{sample}'\n", "output"),
        ("output: 'out{'\n", "output"),
        ("container: 'docker://x/{sample}:1'\n", "container"),
        ("reference: {path: '{x}.h5ad'}\n", "reference.path"),
        ("train: {settings: '{x}.yaml'}\n", "train.settings"),
        ("enhance: {genes: '{genes}.txt'}\n", "enhance.genes"),
        ("interactions: {pairs: '{x}.csv'}\n", "interactions.pairs"),
        ("annotate: {labels: '{x}.csv'}\n", "annotate.labels"),
        ("annotate: {head: '{x}'}\n", "annotate.head"),
        ("outcome: {table: '{x}.csv', response: r}\n", "outcome.table"),
    ],
)
def test_braces_in_a_configuration_are_refused_with_the_key(tmp_path, monkeypatch, config, key):
    from focus_cli.workflow.starting import check_run

    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, config, "S1\traw")
    with pytest.raises(UsageError, match=rf"^{re.escape(key)}: ") as refused:
        make_plan(load_config(path))
        check_run([path], ["-n"])
    assert "wildcard" in refused.value.message and refused.value.hint


def test_braces_in_a_benchmark_are_refused_with_the_key(tmp_path):
    from focus_cli.workflow.benchmark.config import check_benchmark
    from focus_cli.workflow.benchmark.plan import BenchmarkPlan

    case = {"task": "T1", "section": "A", "holdout": {"task": "denoise"}, "train": ["observed"]}
    for section, key in (
        ({"path": "raw_{raw}"}, "sections.A.path"),
        ({"path": "x", "image": "{raw}.tif"}, "sections.A.image"),
    ):
        with pytest.raises(UsageError, match=re.escape(key)):
            BenchmarkPlan(check_benchmark({"sections": {"A": section}, "cases": {"c": case}}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 1\nseed: 2\n", "key seed is on line 2 and again on line 3"),
        ("train: {max_steps: 1, max_steps: 2}\n", "key max_steps is on line 2 and again on line 2"),
        ("train:\n\tmax_steps: 1\n", "not YAML"),
    ],
)
def test_keys_that_come_twice_and_tabs_are_refused(tmp_path, text, said):
    with pytest.raises(BadInputError, match=said) as refused:
        load_config(write(tmp_path, text, "S1\traw"))
    assert "\n" not in refused.value.message
    if "\t" in text:
        assert "tabs" in refused.value.hint


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ("interactions: {pairs: absent.csv}\n", 4, "interactions.pairs: no such file: absent.csv"),
        ("annotate: {labels: absent.csv}\n", 4, "annotate.labels: no such file"),
        ("annotate: {head: absent}\n", 4, "annotate.head: no such file"),
        ("outcome: {table: absent.csv, response: r}\n", 4, "outcome.table: no such file"),
        ("container: absent.sif\n", 4, "container: no such file"),
        ("enhance: {layers: 'std,sdt'}\n", 2, "enhance.layers"),
    ],
)
def test_what_a_configuration_lacks_is_found_before_snakemake(tmp_path, monkeypatch, config, code, said):
    from focus_cli.workflow.starting import check_run

    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    with pytest.raises(FocusError, match=said) as refused:
        check_run([write(tmp_path, config, "S1\traw")], ["-n"])
    assert refused.value.exit_code == code


# --- Snakemake itself --------------------------------------------------------------------------------------

ODD = "ra$w ;`x` *é {x"


def commands_of(said: str) -> dict[tuple[str, str], list[str]]:
    """(verb, sample) → words of the command of every job of a dry run."""
    found = {}
    for line in re.findall(r"^\s*Shell command: (focus .*)$", said, flags=re.M):
        words = shlex.split(line)
        found[words[1], words[words.index("--out") + 1]] = words[: words.index(">")]
    return found


def test_a_dry_run_gives_every_verb_the_names_as_they_are(repo, tmp_path):
    for name in (ODD, "-raw"):
        (tmp_path / name).mkdir()
    for name in ("-he.tif", "he{.tif", "ref.h5ad"):
        (tmp_path / name).touch()
    lines = (
        f"S1\t{ODD.replace('$', '$$')}\the{{.tif\t{{sample}}",
        "S2\t-raw\t-he.tif\t--overwrite",
        "S3\t-raw\t\t{wildcards.sample} '\"",
    )
    config = (
        "output: -out\nreference: {path: ref.h5ad, cell_type: 'kind {reference} {none}'}\n"
        "why: {genes: ['{sample}', '-x', \"a'b\"]}\n"
    )
    write(tmp_path, config, *lines, header="sample\tpath\timage\tregion")
    done = subprocess.run(
        [BIN / "snakemake", "-s", repo / "workflows" / "Snakefile", "--configfile", "config.yaml", "-n", "-p"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    found, out = commands_of(said), f"{tmp_path}/-out"
    assert found["preprocess", f"{out}/samples/S1"][2:] == [
        ODD, "--out", f"{out}/samples/S1", "--sample", "S1", "--platform", "auto", "--image", "he{.tif",
        "--region", "{sample}", "--step-um", "8",
    ]  # fmt: skip
    assert found["preprocess", f"{out}/samples/S2"][2:] == [
        f"{tmp_path}/-raw", "--out", f"{out}/samples/S2", "--sample", "S2", "--platform", "auto",
        "--image", f"{tmp_path}/-he.tif", "--region=--overwrite", "--step-um", "8",
    ]  # fmt: skip
    assert "{wildcards.sample} '\"" in found["preprocess", f"{out}/samples/S3"]
    assert found["reference", f"{out}/references/ref"][-2:] == ["--cell-type", "kind {reference} {none}"]
    genes = found["why", f"{out}/why/S1.h5ad"]
    assert genes[genes.index("--gene") :][:5] == ["--gene", "{sample}", "--gene=-x", "--gene", "a'b"]
    for words in found.values():
        positional = words[2]
        assert not positional.startswith("-") or positional == "--out"


def test_tables_of_counts_and_positions_are_inputs(repo, tmp_path):
    (tmp_path / "raw").mkdir()
    for name in ("raw/counts.tsv", "places.csv"):
        (tmp_path / name).touch()
    config = write(
        tmp_path, "", "S1\traw\ttables\tcounts.tsv\tplaces.csv", header="sample\tpath\tplatform\tcounts\tpositions"
    )
    done = subprocess.run(
        [BIN / "snakemake", "-s", repo / "workflows" / "Snakefile", "--configfile", config, "-n", "-p",
         "results/samples/S1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert re.search(r"input: .*raw, .*raw/counts\.tsv, .*places\.csv", said), said
    words = commands_of(said)["preprocess", "results/samples/S1"]
    assert words[words.index("--counts") :][:4] == ["--counts", "counts.tsv", "--positions", "places.csv"]


@pytest.mark.full
def test_a_real_run_reads_the_folder_that_the_sheet_names(repo, study, tmp_path):
    from focus_cli.core.storage import open_sample

    raw = study.sections[0]
    (tmp_path / ODD).symlink_to(raw)
    (tmp_path / "ra").mkdir()
    config = write(tmp_path, "", f"S1\t{ODD.replace('$', '$$')}")
    done = subprocess.run(
        [BIN / "snakemake", "-s", repo / "workflows" / "Snakefile", "--configfile", config, "--cores", "1",
         "results/samples/S1"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": str(repo)},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert open_sample(tmp_path / "results" / "samples" / "S1").info.sample_id == "S1"
