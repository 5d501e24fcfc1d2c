"""One simulated section of a sequencing platform, with the counts that were drawn for it."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from focus_cli.simulation import simulate
from focus_cli.simulation.layouts import Section, write_section


@dataclass(frozen=True)
class Written:
    """The raw folder, and the section that was written into it."""

    raw: Path
    section: Section


def written(platform, tmp_path_factory, mpp=1.0) -> Written:
    """Simulate one small section; tests must not write into its folder."""
    kept = []

    def keep(platform, folder, section):
        kept.append(section)
        return write_section(platform, folder, section)

    out = tmp_path_factory.mktemp("sequencing") / platform
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("focus_cli.simulation.study.write_section", keep)
        simulate(out, platform=platform, n_sections=1, size_um=700.0, n_genes=50, seed=5, mpp=mpp)
    return Written(out / "sections" / "S1", kept[0])


def drawn(section: Section) -> pd.DataFrame:
    """The counts of a section by name and symbol."""
    return pd.DataFrame(section.counts.toarray(), index=section.locations.names, columns=section.symbols)


def places(section: Section) -> pd.DataFrame:
    """Where its locations lie, in µm, by name."""
    return pd.DataFrame(section.locations.xy_um, index=section.locations.names)
