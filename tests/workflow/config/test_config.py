"""The configuration and the samples sheet: what is accepted, what is refused, and in which words."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.workflow.config import RunConfig, check_config, expand, load_config, load_samples, table_files

COLUMNS = "sample\tpath\tplatform\timage\tmpp\tbin_um\tdonor\torgan\tspecies\ttruth\ttruth_fine"


def write_sheet(folder: Path, *lines: str, header: str = COLUMNS) -> Path:
    path = folder / "samples.tsv"
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


# --- configuration -------------------------------------------------------------------------------------


def test_an_empty_configuration_has_every_default():
    config = check_config({})
    assert (config.seed, config.output, config.train.preset) == (0, "results", "nano")
    assert config == RunConfig()


def test_the_documented_config_spells_out_exactly_the_defaults(repo):
    """config.yaml is the documentation: each key is there, and says what happens when it is left out."""
    written = yaml.safe_load((repo / "config" / "config.yaml").read_text())
    assert written["evaluate"].pop("folds") == [{"sample": "all", "task": "denoise", "fraction": 0.5}]
    defaults = RunConfig().model_dump()
    defaults["evaluate"].pop("folds")
    assert written == defaults


@pytest.mark.parametrize("name", ["config", "demo", "breast", "kidney"])
def test_shipped_configs_are_valid(repo, name):
    assert load_config(repo / "config" / f"{name}.yaml").seed == 0


@pytest.mark.parametrize(
    ("values", "named", "meant"),
    [
        ({"sede": 1}, "unknown key sede", "seed"),
        ({"train": {"max_step": 3}}, "unknown key train.max_step", "train.max_steps"),
        ({"max_steps": 3}, "unknown key max_steps", "train.max_steps"),
        ({"refernce": {"path": "x"}}, "unknown key refernce", "reference"),
        (
            {"evaluate": {"folds": [{"task": "denoise", "fractoin": 0.5}]}},
            "unknown key evaluate.folds.0.fractoin",
            "evaluate.folds.0.fraction",
        ),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_valid_one(values, named, meant):
    with pytest.raises(UsageError, match=rf"{named}; did you mean {meant}\?") as refusal:
        check_config(values)
    assert "\n" not in refusal.value.message
    assert refusal.value.exit_code == 2


def test_a_key_unlike_any_other_gets_no_suggestion():
    with pytest.raises(UsageError) as refusal:
        check_config({"zzzzzz": 1})
    assert refusal.value.message == "config: unknown key zzzzzz"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"train": {"preset": "huge"}}, "train.preset: should be 'nano', 'base' or 'large', got 'huge'"),
        ({"seed": -1}, "seed: should be greater than or equal to 0"),
        ({"train": {"mem_mb": 100}}, "train.mem_mb: should be greater than or equal to 500"),
        (
            {"evaluate": {"folds": [{"task": "denoise", "fraction": 1.5}]}},
            "0.fraction: should be less than 1",
        ),
        ({"evaluate": {"folds": [{"sample": "S1"}]}}, "evaluate.folds.0.task: Field required"),
        (
            {"evaluate": {"folds": [{"task": "impute", "fraction": 0.5}]}},
            "fraction belongs to the task denoise, not to impute",
        ),
    ],
)
def test_a_wrong_value_is_named_with_its_key(values, said):
    with pytest.raises(UsageError) as refusal:
        check_config(values)
    assert said in refusal.value.message


def test_all_problems_are_told_at_once():
    with pytest.raises(UsageError) as refusal:
        check_config({"sede": 1, "train": {"preset": "huge"}, "enhance": {"sampels": 3}})
    for part in ("sede", "train.preset", "enhance.sampels"):
        assert part in refusal.value.message


def test_later_files_win_key_by_key(tmp_path):
    (tmp_path / "a.yaml").write_text("seed: 1\ntrain: {preset: base, threads: 4}\n")
    (tmp_path / "b.yaml").write_text("train: {preset: large}\n")
    config = load_config([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    assert (config.seed, config.train.preset, config.train.threads) == (1, "large", 4)


def test_a_missing_or_broken_file_is_named(tmp_path):
    with pytest.raises(MissingResourceError, match=r"no such config file: .*absent\.yaml"):
        load_config(tmp_path / "absent.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("train: {preset: [\n")
    with pytest.raises(BadInputError, match=r"broken\.yaml is not YAML: .*line"):
        load_config(broken)
    broken.write_text("- a\n- b\n")
    with pytest.raises(BadInputError, match="is not a mapping"):
        load_config(broken)


# --- variables in paths --------------------------------------------------------------------------------


def test_variables_are_replaced_and_unset_ones_named(monkeypatch):
    monkeypatch.setenv("FOCUS_TEST_ROOM", "/data")
    monkeypatch.delenv("FOCUS_TEST_NOWHERE", raising=False)
    assert expand("${FOCUS_TEST_ROOM}/x") == expand("$FOCUS_TEST_ROOM/x") == "/data/x"
    with pytest.raises(MissingResourceError, match="environment variable FOCUS_TEST_NOWHERE is not set"):
        expand("${FOCUS_TEST_NOWHERE}/x")


# --- samples sheet -------------------------------------------------------------------------------------


def test_paths_are_relative_to_the_sheet_and_empty_cells_mean_not_given(tmp_path, monkeypatch):
    monkeypatch.setenv("FOCUS_TEST_ROOM", "/data")
    sheet = write_sheet(
        tmp_path,
        "# a comment",
        "S1\traw/S1\tvisium\t${FOCUS_TEST_ROOM}/he.tif\t0.5\t\tD1\t\t\t../truth.h5ad",
        "",
        "S2\t/abs/S2",
    )
    first, second = load_samples(sheet)
    assert first.path == str(tmp_path / "raw" / "S1")
    assert first.image == "/data/he.tif"
    assert first.truth == str(tmp_path.parent / "truth.h5ad")
    assert (first.mpp, first.bin_um, first.donor, first.organ) == (0.5, None, "D1", None)
    assert (second.path, second.platform) == ("/abs/S2", "auto")


def test_every_problem_is_told_at_once_with_its_line(tmp_path, monkeypatch):
    monkeypatch.delenv("FOCUS_TEST_NOWHERE", raising=False)
    sheet = write_sheet(
        tmp_path,
        "S1\traw",
        "# comments count as lines",
        "S1\traw",
        "a b\traw",
        "S3\traw\tvisum",
        "S4\traw\tvisium\t\t-1",
        "S5\t${FOCUS_TEST_NOWHERE}/S5",
        "\traw",
        "S7\t\tvisium",
    )
    with pytest.raises(BadInputError) as refusal:
        load_samples(sheet)
    said = refusal.value.message
    assert "7 problems" in said
    for part in (
        "line 4: sample S1 is on line 2 already",
        "line 5: sample: must be letters",
        "line 6: platform: should be 'auto', 'visium_hd', 'visium'",
        "line 7: mpp: should be greater than 0, got '-1'",
        "line 8: path: environment variable FOCUS_TEST_NOWHERE is not set",
        "line 9: sample: Field required",
        "line 10: path: Field required",
    ):
        assert part in said
    assert "\n" not in said


def test_a_donor_on_both_sides_of_the_split_is_told_with_its_lines(tmp_path):
    sheet = write_sheet(
        tmp_path,
        "S1\traw/1\tD1\ttrain",
        "S2\traw/2\tD2\ttest",
        "S3\traw/3\tD1\ttest",
        "S4\traw/4\tD1\t",
        "S5\traw/5\t\ttest",
        "S6\traw/6\tD3\ttset",
        header="sample\tpath\tdonor\tsplit",
    )
    with pytest.raises(BadInputError) as refusal:
        load_samples(sheet)
    said = refusal.value.message
    assert "2 problems" in said
    assert "donor D1 is on both sides of split: train on lines 2, 5, test on line 4" in said
    assert "line 7: split: should be 'train' or 'test', got 'tset'" in said


def test_the_same_raw_data_under_two_names_is_said_and_not_refused(tmp_path, capsys):
    (tmp_path / "raw").mkdir()
    (tmp_path / "link").symlink_to("raw")
    lines = ("S1\traw\t", "S2\tlink\t", "S3\traw\tright")
    sheet = write_sheet(tmp_path, *lines, header="sample\tpath\tregion")
    assert len(load_samples(sheet, check_paths=True)) == 3
    assert "lines 2, 3 name the same raw data" in capsys.readouterr().err
    load_samples(sheet)
    assert capsys.readouterr().err == ""


def test_a_reference_of_the_sheet_is_a_path(tmp_path):
    (tmp_path / "raw").mkdir()
    sheet = write_sheet(tmp_path, "S1\traw\tcells.h5ad", header="sample\tpath\treference")
    assert load_samples(sheet)[0].reference == str(tmp_path / "cells.h5ad")
    with pytest.raises(BadInputError, match=r"line 2: reference: no such file or folder: .*cells\.h5ad"):
        load_samples(sheet, check_paths=True)


def test_missing_inputs_are_told_when_asked_for(tmp_path):
    (tmp_path / "raw").mkdir()
    sheet = write_sheet(tmp_path, "S1\traw\tvisium\the.tif")
    assert load_samples(sheet)[0].sample == "S1"
    with pytest.raises(BadInputError, match=r"line 2: image: no such file or folder: .*he\.tif"):
        load_samples(sheet, check_paths=True)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("sample\tpaht", r"unknown column 'paht'; did you mean path\?; .*column path is missing"),
        ("sample path", "columns must be separated by tabs, commas or semicolons"),
        ("sample,paht", r"unknown column 'paht'; did you mean path\?"),
        ("sample\tpath\tpath", "column path appears twice"),
    ],
)
def test_a_wrong_header_is_told_in_words(tmp_path, header, said):
    with pytest.raises(BadInputError, match=said):
        load_samples(write_sheet(tmp_path, "S1\traw", header=header))


SAVED = {
    "byte order mark, CRLF": b"\xef\xbb\xbfsample\tpath\tshift_um\r\nS1\traw\t3,4\r\n",
    "carriage returns": b"sample\tpath\tshift_um\rS1\traw\t3,4\r",
    "commas": b'sample,path,shift_um\nS1,raw,"3,4"\n',
    "semicolons, CRLF": b"sample;path;shift_um\r\nS1;raw;3,4\r\n",
    "stated semicolons": b"sep=;\r\nsample;path;shift_um\r\nS1;raw;3,4\r\n",
    "quotes": b'"sample"\t"path"\t"shift_um"\n"S1"\t"raw"\t"3,4"\n',
    "blanks after commas": b'sample, path, shift_um\nS1, raw, "3,4"\n',
    "empty rows and columns": b"sample\tpath\tshift_um\t\t\nS1\traw\t3,4\t\t\n\t\t\t\t\n\n\n",
    "empty rows and columns, commas": b'sample,path,shift_um,,\n,,,,\nS1,raw,"3,4",,\n,,,,\n',
    "cells beyond the header": b"sample\tpath\tshift_um\nS1\traw\t3,4\t\t\n",
    "a header that is a comment": b"# my samples\n# sample\tpath\tshift_um\nS1\traw\t3,4\n",
    "blank lines first": b"\n \n# samples\nsample\tpath\tshift_um\nS1\traw\t3,4",
    "one line break more": b"sample\tpath\tshift_um\nS1\traw\t3,4\n\n",
}


@pytest.mark.parametrize("form", SAVED)
def test_sheets_of_spreadsheet_programs_are_read(tmp_path, form):
    path = tmp_path / "samples.tsv"
    path.write_bytes(SAVED[form])
    assert [(r.sample, r.path, r.shift_um) for r in load_samples(path)] == [("S1", str(tmp_path / "raw"), "3,4")]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'sample\tpath\nS1\t"raw\n', "line 2: a quotation mark is not closed"),
        (b"sample,path,shift_um\nS1,raw,3,4\n", "line 2: 4 cells under 3 columns"),
        (b"sample\tpath\nS1,raw\n", "line 2: sample: must be letters"),
        ("sample\tpath\nS1\tM\u00fcller\n".encode("cp1252"), "is not UTF-8 text"),
        ("sample\tpath\nS1\traw\n".encode("utf-16"), "is not UTF-8 text"),
        (b"sample\tpath\t\nS1\traw\tx\n", "line 1: unknown column ''"),
    ],
)
def test_sheets_that_cannot_be_read_are_refused_with_the_cause(tmp_path, content, said):
    path = tmp_path / "samples.tsv"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=said):
        load_samples(path)


def test_tables_of_counts_and_positions_are_names_in_the_folder_or_paths(tmp_path):
    (tmp_path / "raw").mkdir()
    (tmp_path / "other").mkdir()
    for name in ("raw/counts.tsv", "other/counts.tsv", "other/places.csv"):
        (tmp_path / name).touch()
    lines = (
        "S1\traw\ttables\tcounts.tsv\tother/places.csv",
        f"S2\traw\ttables\t{tmp_path}/other/counts.tsv\t${{FOCUS_TEST_TABLES}}/places.csv",
        "S3\tother/counts.tsv\ttables\t\tplaces.csv",
    )
    sheet = write_sheet(tmp_path, *lines, header="sample\tpath\tplatform\tcounts\tpositions")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOCUS_TEST_TABLES", str(tmp_path / "other"))
        rows = load_samples(sheet, check_paths=True)
    other = str(tmp_path / "other" / "places.csv")
    assert [(row.counts, row.positions) for row in rows] == [
        ("counts.tsv", other),
        (str(tmp_path / "other" / "counts.tsv"), other),
        (None, "places.csv"),
    ]
    assert [table_files(row) for row in rows] == [
        [str(tmp_path / "raw" / "counts.tsv"), other],
        [str(tmp_path / "other" / "counts.tsv"), other],
        [other],
    ]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("absent.csv", "line 2: positions: no such file: absent.csv"),
        ("../{sample}.csv", "line 2: positions: .*wildcard"),
        ("${FOCUS_TEST_NOWHERE}/a.csv", "line 2: positions: environment variable"),
    ],
)
def test_tables_that_are_not_there_are_told_with_their_line(tmp_path, cell, said):
    (tmp_path / "raw").mkdir()
    sheet = write_sheet(tmp_path, f"S1\traw\t{cell}", header="sample\tpath\tpositions")
    with pytest.raises(BadInputError, match=said):
        load_samples(sheet, check_paths=True)


def test_sheets_without_samples_are_refused(tmp_path):
    with pytest.raises(MissingResourceError, match="no such samples sheet"):
        load_samples(tmp_path / "absent.tsv")
    with pytest.raises(BadInputError, match="no samples after the header"):
        load_samples(write_sheet(tmp_path))
    (tmp_path / "samples.tsv").write_text("# nothing\n")
    with pytest.raises(BadInputError, match="is empty"):
        load_samples(tmp_path / "samples.tsv")
    (tmp_path / "samples.tsv").write_bytes(b"\xff\xfe\x00s")
    with pytest.raises(BadInputError, match="not UTF-8"):
        load_samples(tmp_path / "samples.tsv")
