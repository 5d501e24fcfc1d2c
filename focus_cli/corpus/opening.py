"""A corpus as samples that can be trained on: what is known of each, and what is read when it is asked for."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from focus_cli import keys
from focus_cli.conditioning import SampleData
from focus_cli.corpus.counts import StoredCounts
from focus_cli.corpus.layout import SAMPLES, SHARDS, entry_path, missing_samples, panel_path, read_json
from focus_cli.corpus.raster import TiledRaster
from focus_cli.corpus.shards import ShardArray, shard_path
from focus_cli.errors import BadInputError, MissingResourceError
from focus_cli.features import RasterStack
from focus_cli.store import SampleInfo


@dataclass(frozen=True)
class CorpusSample:
    """A sample of a corpus; see `focus_cli.conditioning.SampleHandle`.

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
        """Read positions and totals; counts and image features are read when rows and places of them are asked for.

        Raises
        ------
        BadInputError, MissingResourceError
            If the corpus is damaged, or shards are missing.
        """
        described = read_json(entry_path(self.corpus, self.info.sample_id))
        paths = [shard_path(self.corpus / SHARDS, shard["sha256"]) for shard in described["shards"]]
        arrays = {name: ShardArray(paths, array) for name, array in described["arrays"].items()}
        rasters = [
            TiledRaster(raster, arrays[f"raster{i}.features"], arrays[f"raster{i}.tissue"])
            for i, raster in enumerate(described["rasters"])
        ]
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
    read_json(path / keys.CORPUS_JSON)
    if missing := missing_samples(path):
        raise BadInputError(
            f"{path} is incomplete: focus corpus was ended before {', '.join(missing[:3])}"
            f"{f' and {len(missing) - 3} more' if len(missing) > 3 else ''} was packed",
            hint="run the same focus corpus again: it goes on where it was",
        )
    ids = sample_ids(path)
    if not ids:
        raise MissingResourceError(f"{path} holds no sample", hint="focus corpus puts some into it")
    shared = _Shared(path)
    return [shared.sample(sample_id) for sample_id in ids]


def sample_ids(path: Path) -> list[str]:
    """Names of the samples of a corpus, sorted."""
    return sorted(entry.stem for entry in (path / SAMPLES).glob("[!.]*.json"))


class _Shared:
    """What samples have in common is held once: panels, and the names of image features."""

    def __init__(self, corpus: Path) -> None:
        self._corpus = corpus
        self._panels: dict[str, pd.DataFrame] = {}
        self._names: dict[tuple[str, ...], list[str]] = {}

    def sample(self, sample_id: str) -> CorpusSample:
        path = entry_path(self._corpus, sample_id)
        described = read_json(path)
        try:
            rasters = described["rasters"]
            names = tuple(name for raster in rasters for name in raster["names"])
            learned = [r["encoder"] | {"step_um": r["step_um"]} for r in rasters if r["encoder"] is not None]
            return CorpusSample(
                corpus=self._corpus,
                info=SampleInfo.from_json(json.dumps(described["sample"] | {"sample_id": sample_id})),
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
            panel = read_json(panel_path(self._corpus, digest))
            ids = np.array(panel["gene_ids"], object)
            self._panels[digest] = pd.DataFrame({keys.GENE_ID: ids}, index=pd.Index(panel["names"], dtype=str))
        return self._panels[digest]
