"""DBiT-seq: counts of every crossing as text, the list of crossings on tissue, the picture of their region."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from focus_cli.simulation.layouts.section import Section, WrittenSection


def write(folder: Path, section: Section) -> WrittenSection:
    """Write ``NAME_matrix.tsv.gz`` (crossings × genes), ``position.txt`` and the image.

    The image is the region of the channels, to the pixel, as the published workflow crops it.
    """
    image = folder / f"{section.name}_HE.tif"
    section.write_image(image)
    crossings = section.locations
    pd.DataFrame(section.counts.toarray(), index=crossings.names, columns=section.symbols).to_csv(
        folder / f"{section.name}_matrix.tsv.gz",
        sep="\t",
        index_label="X",
        lineterminator="\n",
        compression={"method": "gzip", "compresslevel": 6, "mtime": 0},
    )
    # The published script begins its list with an empty entry.
    (folder / "position.txt").write_text("," + ",".join(crossings.names), encoding="utf-8")
    return WrittenSection(folder, image, bin_um=crossings.size_um)
