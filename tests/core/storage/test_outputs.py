"""What an output may replace, where it may lie, and what its name may be."""

from __future__ import annotations

import ast
import errno
import json
import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from focus_cli.core.errors import MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.storage import atomic_directory, atomic_file, check_output, kinds
from focus_cli.core.storage.kinds import ENHANCED, MODEL, PICTURE, REPORT, SAMPLE, Kind

TEXT = Kind("a text", False, lambda path: path.read_text().startswith("ours"))


def sample_folder(path: Path) -> Path:
    path.mkdir(parents=True)
    told = {"schema_version": 1, "sample_id": "S", "platform": {}}
    (path / "sample.json").write_text(json.dumps(told))
    (path / "counts.h5ad").write_bytes(b"counts")
    return path


def content(path: Path) -> dict[str, bytes]:
    return {f.relative_to(path).as_posix(): f.read_bytes() for f in path.rglob("*") if f.is_file()}


def test_ours_of_the_same_kind_is_replaced_and_nothing_is_left(tmp_path):
    out = sample_folder(tmp_path / "S")
    check_output(out, SAMPLE, overwrite=True)
    with atomic_directory(out, overwrite=True, kind=SAMPLE) as folder:
        (folder / "sample.json").write_text("new")
    assert content(tmp_path) == {"S/sample.json": b"new"}


@pytest.mark.parametrize("foreign", ["notes.txt", "folder/inside.txt", "morphology.zarr/notes.txt", ".hidden"])
def test_a_folder_of_ours_with_a_document_of_others_stays(tmp_path, foreign):
    out = sample_folder(tmp_path / "S")
    (out / foreign).parent.mkdir(exist_ok=True)
    (out / foreign).write_text("mine")
    before = content(tmp_path)
    with pytest.raises(OutputExistsError, match=foreign.split("/")[0]):
        check_output(out, SAMPLE, overwrite=True)
    with pytest.raises(OutputExistsError), atomic_directory(out, overwrite=True, kind=SAMPLE):
        pass
    assert content(tmp_path) == before


def test_a_folder_with_what_snakemake_and_file_managers_leave_is_still_ours(tmp_path):
    out = sample_folder(tmp_path / "S")
    for name in (".snakemake_timestamp", ".DS_Store"):
        (out / name).touch()
    (out / "morphology.zarr/features/c/0").mkdir(parents=True)
    (out / "morphology.zarr/features/c/0/0").write_bytes(b"chunk")
    (out / "morphology.zarr/zarr.json").write_text("{}")
    check_output(out, SAMPLE, overwrite=True)


@pytest.mark.parametrize(
    "described",
    ["", "[]", "{", '{"schema_version": 1}', '{"sample_id": "S", "schema_version": 1', "[" * 100_000, "\x00"],
)
def test_a_description_that_is_none_is_no_mark(tmp_path, described):
    out = sample_folder(tmp_path / "S")
    (out / "sample.json").write_text(described)
    with pytest.raises(OutputExistsError, match="not a sample that FOCUS wrote"):
        check_output(out, SAMPLE, overwrite=True)


def test_another_kind_is_not_replaced(tmp_path):
    out = sample_folder(tmp_path / "S")
    with pytest.raises(OutputExistsError, match="not a model"):
        check_output(out, MODEL, overwrite=True)


@pytest.mark.parametrize(
    "kind", [k for k in vars(kinds).values() if isinstance(k, Kind) and not k.name.startswith("a part")]
)
@pytest.mark.parametrize(
    "bytes_", [b"mine", b"\x89PNG\r\n\x1a\n", b"\x89HDF\r\n\x1a\n", b"{}", b"PAR1", b"<html>", b"\n"]
)
def test_documents_of_others_are_of_no_kind(tmp_path, kind, bytes_):
    path = tmp_path / "thing"
    if kind.folder:
        path.mkdir()
        for name in ("sample.json", "zarr.json", "provenance.json", "domains.json", "study.json", "x.h5ad"):
            (path / name).write_bytes(bytes_)
    else:
        path.write_bytes(bytes_)
    assert not kind.carried_by(path)
    with pytest.raises(OutputExistsError):
        check_output(path, kind, overwrite=True)


def test_nothing_is_lost_with_an_empty_file_or_folder(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    check_output(tmp_path / "folder", SAMPLE, overwrite=True)
    check_output(tmp_path / "file", ENHANCED, overwrite=True)
    with pytest.raises(OutputExistsError) as refused:
        check_output(tmp_path / "folder", SAMPLE)
    assert "--overwrite" in refused.value.hint


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize(
    ("out", "read"),
    [
        ("raw", "raw"),
        ("raw/out", "raw"),
        ("raw/deep/er/out", "raw"),
        ("above", "above/raw"),
        ("raw/../raw", "raw"),
        ("link", "raw"),
        ("link/out", "raw"),
        ("raw", "link"),
        ("hard", "raw/file"),
        ("soft", "raw/file"),
    ],
)
def test_an_output_that_touches_an_input_is_refused(tmp_path, monkeypatch, out, read, overwrite):
    monkeypatch.chdir(tmp_path)
    for folder in ("raw", "above/raw"):
        Path(folder).mkdir(parents=True)
        Path(folder, "file").write_text("ours")
    Path("link").symlink_to("raw")
    os.link("raw/file", "hard")
    Path("soft").symlink_to("raw/file")
    before = content(tmp_path)
    with pytest.raises(UsageError, match="which is read"):
        check_output(Path(out), TEXT, inputs=[None, "no path", Path(read)], overwrite=overwrite)
    assert content(tmp_path) == before


@pytest.mark.parametrize("other", ["out.txt", "./out.txt", "out.txt/inside", "."])
def test_two_outputs_that_touch_are_refused(tmp_path, monkeypatch, other):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="written as well"):
        check_output(Path("out.txt"), TEXT, outputs=[Path(other)])


@pytest.mark.parametrize(
    "name", ["", ".", "..", "/", "a/..", "a\nb", "a\0b", "a\x1b[2J", "\udcff", "x" * 256, "ä" * 128]
)
@pytest.mark.parametrize("kind", [TEXT, SAMPLE])
def test_what_names_no_new_file_is_refused(tmp_path, monkeypatch, name, kind):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refused:
        check_output(Path(name), kind, overwrite=True)
    assert "\n" not in refused.value.message and not list(tmp_path.iterdir())


@settings(max_examples=60, deadline=None)
@given(
    stem=st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="/"), min_size=1, max_size=300),
    suffix=st.sampled_from(["", ".h5ad", ".tsv", "." + "y" * 40]),
    folder=st.booleans(),
)
def test_every_name_is_written_or_refused_and_nothing_is_left(tmp_path_factory, stem, suffix, folder):
    place = tmp_path_factory.mktemp("names")
    path = place / (stem + suffix)
    try:
        if folder:
            with atomic_directory(path, kind=SAMPLE) as temporary:
                (temporary / "sample.json").write_text("content")
        else:
            with atomic_file(path, kind=TEXT) as temporary:
                assert temporary.suffix in (path.suffix, ".tmp")
                temporary.write_text("content")
    except UsageError:
        assert not list(place.iterdir())
        return
    assert list(place.iterdir()) == [path]


@pytest.mark.parametrize("kind", [REPORT, PICTURE, ENHANCED])
def test_a_folder_where_a_file_is_written_is_refused(tmp_path, kind):
    with pytest.raises(UsageError, match="it is a folder"):
        check_output(tmp_path, kind, overwrite=True)


def test_links_and_special_files(tmp_path):
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name in ("dangling", "loop"):
        with pytest.raises(OutputExistsError):
            check_output(tmp_path / name, TEXT)
        with pytest.raises(OutputExistsError):
            check_output(tmp_path / name, TEXT, overwrite=True)
    with pytest.raises(UsageError, match="neither a file nor a folder"):
        check_output(tmp_path / "pipe", TEXT, overwrite=True)
    ours = sample_folder(tmp_path / "S")
    (tmp_path / "link").symlink_to("S")
    with atomic_directory(tmp_path / "link", overwrite=True, kind=SAMPLE) as folder:
        (folder / "sample.json").write_text("new")
    assert (tmp_path / "link/sample.json").read_text() == "new" and (ours / "counts.h5ad").exists()


def test_an_output_that_came_while_the_work_was_done_stays(tmp_path):
    with pytest.raises(OutputExistsError), atomic_file(tmp_path / "out.txt", kind=TEXT) as temporary:
        temporary.write_text("ours")
        (tmp_path / "out.txt").write_text("theirs")
    assert content(tmp_path) == {"out.txt": b"theirs"}


def test_every_writer_says_what_it_writes(repo):
    for file in sorted((repo / "focus_cli").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            name = getattr(getattr(node, "func", None), "id", "")
            if isinstance(node, ast.Call) and name in ("atomic_file", "atomic_directory"):
                assert any(k.arg == "kind" for k in node.keywords), f"{file}:{node.lineno}"


def test_an_output_whose_path_leads_through_itself_is_replaced(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for text in ("one", "two"):
        with atomic_directory(Path("s/../s"), overwrite=True, kind=kinds.PART_FOLDER) as made:
            (made / "text").write_text(text)
    assert [p.name for p in tmp_path.iterdir()] == ["s"] and (tmp_path / "s" / "text").read_text() == "two"


@pytest.mark.parametrize("number", [errno.EPERM, errno.EACCES])
def test_a_place_where_nobody_may_write_is_named(tmp_path, number, monkeypatch):
    """As on /sys, where even root may not and `os.access` does not know."""

    def refuse(path, *_, **__):
        raise PermissionError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", lambda self, *a, exist_ok=False, **k: None if exist_ok else refuse(self))
    expected = pytest.raises(MissingResourceError, match=f"cannot write into .*: {os.strerror(number).lower()}")
    with expected, atomic_directory(tmp_path / "out", kind=SAMPLE):
        pass
    assert not list(tmp_path.iterdir())
