"""A whole study: sections in a vendor's layout, a single-cell reference, the truth and a samples sheet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli import __version__
from focus_cli.core import keys
from focus_cli.core.errors import UsageError
from focus_cli.core.progress import task
from focus_cli.core.storage import atomic_directory, check_output, write_anndata
from focus_cli.core.storage.kinds import STUDY, STUDY_JSON
from focus_cli.simulation.arrays import FINE_UM, PLATFORMS, Locations, make_locations, square_grid
from focus_cli.simulation.expression import Programs, donor_programs, make_programs
from focus_cli.simulation.footprints import SPREAD_UM, capture_weights, expected_blocks
from focus_cli.simulation.histology import Histology
from focus_cli.simulation.layouts import Section, WrittenSection, write_section
from focus_cli.simulation.measurement import EXPECTATION, VARIANCE, Measurement, draw_counts, plan_measurement
from focus_cli.simulation.single_cells import make_reference
from focus_cli.simulation.streams import stream
from focus_cli.simulation.tissue import Cells, Tissue, make_tissue, place_cells
from focus_cli.simulation.truth import write_truth

SMALLEST_UM, LARGEST_UM = 600.0, 6500.0
FEWEST_GENES, MOST_GENES = 40, 7000
_LEAST_FINE = 0.02  # fine places with less than this share of the median are hollow: no truth is stated


@dataclass(frozen=True)
class Design:
    """What a study is made of; see `simulate`."""

    platform: str
    n_sections: int
    seed: int
    size_um: float
    n_genes: int
    mpp: float

    def check(self) -> None:
        """Refuse a study that cannot be made.

        Raises
        ------
        UsageError
            Naming the option and the values that it may have.
        """
        if self.platform not in PLATFORMS:
            raise UsageError(f"unknown platform {self.platform!r}", hint="one of " + ", ".join(PLATFORMS))
        limits = {
            "sections": (self.n_sections, 1, 99),
            "seed": (self.seed, 0, 2**32 - 1),
            "size-um": (self.size_um, SMALLEST_UM, LARGEST_UM),
            "genes": (self.n_genes, FEWEST_GENES, MOST_GENES),
            "mpp": (self.mpp, 0.25, 2.0),
        }
        for name, (value, low, high) in limits.items():
            if not low <= value <= high:
                raise UsageError(f"--{name} {value:g} is out of range", hint=f"from {low:g} to {high:g}")


def simulate(
    out: Path,
    *,
    platform: str = "visium",
    n_sections: int = 2,
    seed: int = 0,
    size_um: float = 3000.0,
    n_genes: int = 400,
    mpp: float = 1.0,
    overwrite: bool = False,
) -> Path:
    """Write a small study with known truth.

    Parameters
    ----------
    out
        Folder to make: ``sections/``, ``truth/``, ``reference.h5ad``, ``samples.tsv``, ``study.json``.
    platform
        One of `arrays.PLATFORMS`. The tissue of a seed is the same on all.
    n_sections
        Sections, one donor each.
    seed
        Same seed, same bytes.
    size_um
        Side of the square frame in µm.
    n_genes
        Genes on the platform's panel; a third as many again are in the reference and the truth alone.
    mpp
        µm per pixel of the H&E.
    overwrite
        Replace `out`.

    Returns
    -------
    `out`

    Raises
    ------
    UsageError
        If a number is out of range or the platform is unknown.
    OutputExistsError
        If `out` exists and `overwrite` is false.
    """
    design = Design(platform, int(n_sections), int(seed), float(size_um), int(n_genes), float(mpp))
    design.check()
    out = Path(out)
    check_output(out, STUDY, overwrite=overwrite, option="OUT")
    with atomic_directory(out, overwrite, kind=STUDY) as folder, task("simulating", design.n_sections) as running:
        (folder / "truth").mkdir()
        programs = make_programs(design.seed, design.n_genes)
        write_anndata(make_reference(programs, design.seed), folder / "reference.h5ad")
        rows = []
        for number in range(1, design.n_sections + 1):
            rows.append(_make_section(folder, design, programs, number))
            running.advance()
        sheet = pd.DataFrame(rows)
        sheet.to_csv(folder / "samples.tsv", sep="\t", index=False, lineterminator="\n")
        _write_description(folder, design)
    return out


def _write_description(folder: Path, design: Design) -> None:
    """Write ``study.json``: what the study is made of, and its files, so that nothing else is ever replaced with it."""
    files = sorted(f.relative_to(folder).as_posix() for f in folder.rglob("*") if f.is_file())
    text = json.dumps({"focus_version": __version__, **asdict(design), "files": files}, indent=2)
    (folder / STUDY_JSON).write_text(text + "\n", encoding="utf-8")


def _make_section(folder: Path, design: Design, programs: Programs, number: int) -> dict[str, Any]:
    name, seed, mpp = f"S{number}", design.seed, design.mpp
    tissue = make_tissue(seed, number, design.size_um)
    cells = place_cells(tissue, seed, number)
    donor = donor_programs(programs, seed, number)
    everywhere = make_locations(design.platform, tissue, cells, mpp, seed, number)
    here = everywhere.counted()
    weights = capture_weights(here, cells)
    how = plan_measurement(design.platform, tissue, cells, donor, here, weights, seed=seed, section=number)
    common = dict(tissue=tissue, cells=cells, programs=programs, var=_gene_table(programs, how))
    facts = {"seed": seed, "section": name, "platform": design.platform, "spread_um": SPREAD_UM}

    rng = stream(seed, "counts", design.platform, number)
    drawn: list[sparse.csr_matrix] = []

    def measured() -> Iterator[tuple[slice, np.ndarray]]:
        for rows, expected in expected_blocks(weights, cells, donor):
            expected *= how.platform_factor
            drawn.append(draw_counts(rng, expected, how.efficiency[rows], how, programs.measured))
            yield rows, expected

    write_truth(
        folder / "truth" / f"{name}.h5ad",
        measured(),
        locations=here,
        weights=weights,
        obs={"efficiency": how.efficiency},
        facts={
            **facts,
            "expectation": EXPECTATION,
            "variance": VARIANCE,
            "ambient": how.ambient,
            "dispersion": how.dispersion,
            "footprint": {"shape": here.shape, "size_um": here.size_um, "pitch_um": here.pitch_um},
        },
        **common,
    )
    fine, fine_weights = _fine_grid(tissue, cells, mpp)
    write_truth(
        folder / "truth" / f"{name}.fine.h5ad",
        ((rows, m * how.platform_factor) for rows, m in expected_blocks(fine_weights, cells, donor)),
        locations=fine,
        weights=fine_weights,
        facts={**facts, "footprint": {"shape": "square", "size_um": FINE_UM, "pitch_um": FINE_UM}},
        **common,
    )
    image = Histology(tissue, cells, mpp, seed=seed, section=number)
    section = Section(
        name=name,
        all_locations=everywhere,
        locations=here,
        counts=sparse.vstack(drawn, format="csr"),
        symbols=programs.symbols[programs.measured],
        gene_ids=programs.gene_ids[programs.measured],
        width=image.width,
        height=image.height,
        mpp=mpp,
        band=image.band,
    )
    written = write_section(design.platform, folder / "sections" / name, section)
    return _sheet_row(folder, design, name, number, written)


def _fine_grid(tissue: Tissue, cells: Cells, mpp: float) -> tuple[Locations, sparse.csr_matrix]:
    """The 16 µm grid over tissue that is not hollow, and its weights."""
    grid = square_grid(tissue, mpp, FINE_UM).counted()
    weights = capture_weights(grid, cells)
    total = np.asarray(weights.sum(axis=1)).ravel()
    solid = np.flatnonzero(total > _LEAST_FINE * np.median(total))
    return grid.take(solid), weights[solid]


def _gene_table(programs: Programs, how: Measurement) -> pd.DataFrame:
    return pd.DataFrame(
        {
            keys.GENE_ID: programs.gene_ids.astype(object),
            keys.MEASURED: programs.measured,
            "program": pd.Categorical(programs.program),
            "platform_factor": how.platform_factor,
            "ambient_profile": how.ambient_profile,
        },
        index=pd.Index(programs.symbols.astype(object)),
    )


def _sheet_row(folder: Path, design: Design, name: str, number: int, written: WrittenSection) -> dict[str, Any]:
    return {
        "sample": name,
        "path": written.path.relative_to(folder).as_posix(),
        "platform": design.platform,
        "image": written.image.relative_to(folder).as_posix(),
        "mpp": f"{design.mpp:g}",
        "bin_um": "" if written.bin_um is None else f"{written.bin_um:g}",
        "donor": f"D{number}",
        "organ": "simulated",
        "species": "human",
        "truth": f"truth/{name}.h5ad",
        "truth_fine": f"truth/{name}.fine.h5ad",
    }
