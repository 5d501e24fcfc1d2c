"""The report shows how the locations lie on the H&E, as stored and in every orientation that was compared."""

import json

import fake_enhanced
import numpy as np

from focus_cli.core import keys
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.platforms.alignment import ORIENTATIONS
from focus_cli.reporting import write_report
from focus_cli.reporting.placement import placement_pictures


def made(tmp_path, **changes):
    adata = fake_enhanced.enhanced()
    alignment = {
        "on_tissue": 0.9,
        "orientations": [{"orientation": o, "on_tissue": 0.5, "correlation": 0.25} for o in ORIENTATIONS],
    } | changes
    adata.uns[keys.UNS]["alignment"] = json.dumps(alignment)
    return fake_enhanced.write(adata, tmp_path / "S1.h5ad")


def test_one_whole_picture_and_eight_panels(tmp_path):
    path = made(tmp_path, registration={"on": "locations", "mirrored": True, "degrees_clockwise": 17.04, "margin": 0.4})
    with SpatialFile(path) as file:
        whole, panels = placement_pictures(file)
        assert (whole, panels) == placement_pictures(file)
    assert whole.note == "registered on locations, mirrored, turned by 17.0°, margin 0.40"
    assert [p.caption for p in panels] == list(ORIENTATIONS)
    assert {p.note for p in panels} == {"50% on tissue · correlation 0.25"}
    assert len({p.image for p in panels}) == 8
    write_report([path], tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "Locations on the H&amp;E" in page or "Locations on the H&E" in page
    assert all(f"Locations {o}" in page for o in ORIENTATIONS)


def test_gaps_are_tolerated(tmp_path):
    path = made(
        tmp_path, orientations=[{"orientation": "sideways"}, {"orientation": "as given"}], landmarks={"left_out_um": 9}
    )
    with SpatialFile(path) as file:
        whole, panels = placement_pictures(file)
    assert whole.note == "placed by landmarks, missed by 9.0 µm when left out"
    assert [(p.caption, p.note) for p in panels] == [("as given", "")]


def test_without_a_picture_there_is_none(tmp_path):
    adata = fake_enhanced.enhanced()
    del adata.uns[keys.UNS_SPATIAL]
    with SpatialFile(fake_enhanced.write(adata, tmp_path / "S1.h5ad")) as file:
        assert placement_pictures(file) == (None, [])
        assert np.isfinite(file.xy).all()
