"""Which platform a folder is of: strong signs before general formats, and never a weak sign alone."""

from __future__ import annotations

import shutil
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from raw_folders import write_visium

from focus_cli.core.errors import BadInputError, FocusError, UsageError
from focus_cli.platforms import detect, read
from focus_cli.platforms.detection import PLATFORMS, _reader
from focus_cli.simulation import simulate
from focus_cli.simulation.arrays import PLATFORMS as SIMULATED


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """Platform → raw folder as its vendor writes it; not to be changed."""
    top = tmp_path_factory.mktemp("layouts")
    for platform in SIMULATED:
        simulate(top / platform, platform=platform, n_sections=1, size_um=600.0, n_genes=40, mpp=2.0, seed=1)
    return {platform: top / platform / "sections" / "S1" for platform in SIMULATED}


def test_no_layout_is_ambiguous(layouts):
    assert {platform: detect(raw).platform for platform, raw in layouts.items()} == {p: p for p in SIMULATED}


def test_no_file_beside_another_vendors_changes_what_is_recognised_in_silence(layouts, tmp_path):
    """Two layouts in one folder are one vendor's beside a general format, or a choice between the two."""
    flat = [p for p in SIMULATED if all(f.is_file() for f in layouts[p].iterdir())]
    for number, (one, other) in enumerate(combinations(flat, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        for platform in (one, other):
            for file in layouts[platform].iterdir():
                if file.suffix not in (".tif", ".png"):
                    shutil.copy(file, folder)
        try:
            assert detect(folder).platform in (one, other)
        except UsageError as error:
            assert one in error.message and other in error.message
            assert f"--platform {one}" in error.hint and f"--platform {other}" in error.hint
        except BadInputError as error:
            assert {one, other} == {"openst", "anndata"}
            assert "2 AnnData files" in error.message and "give one of them" in error.hint


@pytest.mark.parametrize(
    ("names", "candidates"),
    [
        (["1x1", "2x1", "3x7"], ["legacy_st", "dbit"]),
        (["10x30", "12x34", "11x9"], ["legacy_st", "dbit"]),
        (["13.064x6.086", "12.1x7.0", "5.5x5.5"], ["legacy_st"]),
        (["150x3", "1x210", "7x7"], ["dbit"]),
    ],
)
@pytest.mark.parametrize("by", ["folder", "file"])
def test_names_of_places_alone_are_a_choice(names, candidates, by, tmp_path):
    table = pd.DataFrame(np.ones((3, 4), int), index=names, columns=list("ABCD"))
    table.to_csv(tmp_path / "counts.tsv", sep="\t")
    with pytest.raises(UsageError) as caught:
        detect(tmp_path if by == "folder" else tmp_path / "counts.tsv")
    assert caught.value.hint == "choose: " + " or ".join(f"--platform {c}" for c in candidates)
    assert caught.value.exit_code == 2


def test_cells_named_by_their_pixels_are_no_array(tmp_path):
    pd.DataFrame(np.ones((3, 4), int), index=["69x4486", "93x1063", "143x3445"]).to_csv(tmp_path / "counts.csv")
    with pytest.raises(BadInputError, match="no known platform"):
        detect(tmp_path)


def test_detection_of_nothing_ends_in_one_line(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "folder.csv").mkdir()
    for platform in PLATFORMS:
        try:
            assert _reader(platform).detect(tmp_path) is None
        except FocusError:
            pytest.fail(platform)
    with pytest.raises(BadInputError, match="no known platform"):
        detect(tmp_path)


def two_sections(folder):
    for name in ("A", "B"):
        write_visium(folder / name)
    return folder


def test_a_folder_of_raw_folders_names_them(tmp_path):
    folder = two_sections(tmp_path / "study")
    (folder / "notes").mkdir()
    with pytest.raises(BadInputError, match=r"no raw folder itself, and holds 2 \(A, B\)") as refused:
        detect(folder)
    assert str(folder / "A") in refused.value.hint
    assert detect(folder / "A").platform == "visium"


@pytest.mark.parametrize(("kind", "tool"), [("zip", "unzip"), ("tar", "tar -xf"), ("gztar", "tar -xf")])
def test_a_packed_folder_is_named_as_one(tmp_path, kind, tool):
    packed = shutil.make_archive(tmp_path / "raw", kind, two_sections(tmp_path / "study"))
    with pytest.raises(BadInputError, match="is an archive of several files") as refused:
        detect(packed)
    assert tool in refused.value.hint and "--platform" not in refused.value.hint


def test_an_option_of_no_platform_is_named_with_those_there_are(tmp_path):
    write_visium(tmp_path / "A")
    with pytest.raises(UsageError, match="no platform has an option 'mp'") as refused:
        read(tmp_path / "A", mp=0.5)
    assert "mpp" in refused.value.hint
