"""A corpus as samples that can be trained on: what is known of each, and what is read on request."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage import SampleInfo, is_sample_id
from focus_cli.core.storage.damage import damaged
from focus_cli.histology.features import RasterStack
from focus_cli.model.conditioning import SampleData
from focus_cli.model.corpus.counts import StoredCounts
from focus_cli.model.corpus.layout import (
    SAMPLES,
    SHARDS,
    CorpusDocument,
    PanelDocument,
    entry_path,
    missing_samples,
    panel_path,
    read_described,
    read_entry,
)
from focus_cli.model.corpus.raster import TiledRaster
from focus_cli.model.corpus.shards import ShardArray, shard_path


@dataclass(frozen=True)
class CorpusSample:
    """A sample of a corpus; see `focus_cli.model.conditioning.SampleHandle`.

    Attributes
    ----------
    source
        Name, size and SHA-256 of the sample folder that it was packed from.
    """

    corpus: Path
    info: SampleInfo
    genes: pd.DataFrame
    n_measured: int
    n_values: int
    content: str
    image_names: list[str] | None
    encoder: dict[str, Any] | None
    source: dict[str, Any]

    def load(self) -> SampleData:
        """Read positions and totals; counts and image features are read when rows and places of them are requested.

        Raises
        ------
        BadInputError, MissingResourceError
            If the corpus is damaged, or shards are missing.
        """
        described = read_entry(self.corpus, self.info.sample_id)
        paths = [shard_path(self.corpus / SHARDS, shard["sha256"]) for shard in described["shards"]]
        try:
            arrays = {name: ShardArray(paths, array) for name, array in described["arrays"].items()}
            return self._data(described, arrays)
        except (KeyError, ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
            raise damaged(
                entry_path(self.corpus, self.info.sample_id), error, "run focus corpus again with --overwrite"
            ) from error

    def _data(self, described: dict[str, Any], arrays: dict[str, ShardArray]) -> SampleData:
        rasters = [
            TiledRaster(raster, arrays[f"raster{i}.features"], arrays[f"raster{i}.tissue"])
            for i, raster in enumerate(described["rasters"])
        ]
        n, width = self.info.n_locations, sum(len(raster["names"]) for raster in described["rasters"])
        shapes = {"xy_um": (n, 2), "feature_mean": (width,), "feature_sd": (width,), "place": (n,), "ends": (n,)}
        shapes |= {"row_totals": (n,), "column_totals": (len(self.genes),)}
        for name, shape in shapes.items():
            if arrays[name].shape != shape:
                raise ValueError(f"arrays.{name} has shape {arrays[name].shape}, not {shape}")
        return SampleData(
            info=self.info,
            counts=StoredCounts(arrays, len(self.genes)),
            genes=self.genes,
            obs_names=np.zeros(0, str),
            xy_um=arrays["xy_um"].all(),
            raster=RasterStack(rasters) if rasters else None,
            feature_mean=arrays["feature_mean"].all(),
            feature_sd=arrays["feature_sd"].all(),
        )


def is_corpus(path: Path) -> bool:
    """Whether `path` is a folder written by ``focus corpus``."""
    return (Path(path) / keys.CORPUS_JSON).is_file()


def open_corpus(path: Path) -> list[CorpusSample]:
    """Open a corpus: its samples, by their names in alphabetical order.

    Raises
    ------
    MissingResourceError
        If there is no corpus, or no sample in it.
    BadInputError
        If a description is damaged or of another schema version, or the corpus was not packed to its end.
    """
    path = Path(path)
    if not is_corpus(path):
        raise MissingResourceError(f"no such corpus: {path}", hint="focus corpus makes one")
    read_described(path / keys.CORPUS_JSON, CorpusDocument)
    if missing := missing_samples(path):
        raise BadInputError(
            f"{path} is incomplete: focus corpus was ended before {', '.join(missing[:3])}"
            f"{f' and {len(missing) - 3} more' if len(missing) > 3 else ''} was packed",
            hint="run the same focus corpus again: it resumes where it was",
        )
    ids = sample_ids(path)
    if not ids:
        raise MissingResourceError(f"{path} holds no sample", hint="focus corpus puts some into it")
    shared = _Shared(path)
    return [shared.sample(sample_id) for sample_id in ids]


def sample_ids(path: Path) -> list[str]:
    """Names of the samples of a corpus, sorted.

    Raises
    ------
    BadInputError
        If a file there has a name that no sample has.
    """
    found = sorted(entry.stem for entry in (path / SAMPLES).glob("[!.]*.json"))
    if wrong := [name for name in found if not is_sample_id(name)]:
        raise BadInputError(f"{path / SAMPLES} holds {wrong[0] + '.json'!r}, which is no sample's", hint="remove it")
    return found


class _Shared:
    """What samples have in common is held once: panels, and the names of image features."""

    def __init__(self, corpus: Path) -> None:
        self._corpus = corpus
        self._panels: dict[str, pd.DataFrame] = {}
        self._names: dict[tuple[str, ...], list[str]] = {}

    def sample(self, sample_id: str) -> CorpusSample:
        path = entry_path(self._corpus, sample_id)
        described = read_entry(self._corpus, sample_id)
        try:
            rasters = described["rasters"]
            names = tuple(name for raster in rasters for name in raster["names"])
            learned = [r["encoder"] | {"step_um": r["step_um"]} for r in rasters if r["encoder"] is not None]
            return CorpusSample(
                corpus=self._corpus,
                info=SampleInfo.of(described["sample"] | {"sample_id": sample_id}, str(path)),
                genes=self._panel(described["panel"]),
                n_measured=described["n_measured"],
                n_values=described["n_values"],
                content=described["content"],
                image_names=self._names.setdefault(names, list(names)) if rasters else None,
                encoder=learned[0] if learned else None,
                source=described["provenance"]["inputs"]["sample"],
            )
        except (KeyError, TypeError) as error:
            raise BadInputError(
                f"{path} is damaged: {error}", hint="run focus corpus again with --overwrite"
            ) from error

    def _panel(self, digest: str) -> pd.DataFrame:
        if digest not in self._panels:
            path = panel_path(self._corpus, digest)
            panel = read_described(path, PanelDocument)
            if len(panel["gene_ids"]) != len(panel["names"]):
                raise BadInputError(
                    f"{path} has {len(panel['names'])} names and {len(panel['gene_ids'])} ids of genes",
                    hint="run focus corpus again with --overwrite",
                )
            ids = np.array(panel["gene_ids"], object)
            self._panels[digest] = pd.DataFrame({keys.GENE_ID: ids}, index=pd.Index(panel["names"], dtype=str))
        return self._panels[digest]
