"""A stored sample, put on the genes of a prior and on standardised image features."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, StoredSample
from focus_cli.core.storage.sample import check_panel_of_genes
from focus_cli.genes import gene_table
from focus_cli.histology.features import RasterStack
from focus_cli.model.priors import Pooling, SpatialPrior, build_pooling
from focus_cli.model.priors.statistics import REFERENCE_EXPOSURE

FEATURE_CLIP = 5.0
STANDARDISE_STEP_UM = 32.0
STANDARDISE_POINTS = 20_000
MIN_FOOTPRINT_TO_SPLIT_UM = 24.0


@dataclass(frozen=True)
class SampleData:
    """One sample in memory.

    Attributes
    ----------
    counts
        CSR float32, locations × genes of the panel; or an object with ``counts[rows]`` and ``counts.sum(axis)`` as that
        does and reads them on access (`focus_cli.model.corpus`).
    genes
        The panel, in the order of `counts`: names as index, Ensembl ids (or "") under ``gene_ids``.
    xy_um
        float64, locations × 2.
    raster
        Image features, or None; `feature_mean` and `feature_sd` standardise them within the sample, which removes
        stain and scanner.
    axes
        float32, raw features × F: the axes on which a model sees them; None: as they are.
    """

    info: SampleInfo
    counts: sparse.csr_matrix
    genes: pd.DataFrame
    obs_names: np.ndarray
    xy_um: np.ndarray
    raster: RasterStack | None
    feature_mean: np.ndarray
    feature_sd: np.ndarray
    axes: np.ndarray | None = None
    own_pooling: Pooling | None = None

    @property
    def names(self) -> np.ndarray:
        """Gene names of the panel."""
        return self.genes.index.to_numpy(str)

    @property
    def n_features(self) -> int:
        """F; 0 without an image."""
        return len(self.feature_mean) if self.axes is None else self.axes.shape[1]

    @cached_property
    def exposure(self) -> np.ndarray:
        """Counts per location over the panel, float64."""
        return np.asarray(self.counts.sum(axis=1)).ravel().astype(np.float64)

    @property
    def n_measured(self) -> int:
        """Locations with counts."""
        return int((self.exposure > 0).sum())

    @property
    def n_values(self) -> int:
        """Stored counts."""
        return self.counts.nnz

    @property
    def image_names(self) -> list[str] | None:
        """Names of the raw image features; None without an image."""
        return None if self.raster is None else self.raster.names

    @property
    def encoder(self) -> dict[str, Any] | None:
        """What the learned encoder of its image states; None without one."""
        return None if self.raster is None else self.raster.encoder

    @cached_property
    def content(self) -> str:
        """SHA-256 of the name, the counts, the positions and the level of the image features."""
        digest = hashlib.sha256(self.info.sample_id.encode())
        arrays = (self.counts.data, self.counts.indices, self.counts.indptr, self.xy_um)
        for array in (*arrays, self.feature_mean, self.feature_sd):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def load(self) -> SampleData:
        """Itself: it is in memory."""
        return self

    @cached_property
    def pooling(self) -> Pooling:
        """Neighbourhoods at every scale: those of the positions, unless the sample has its own."""
        return self.own_pooling or build_pooling(self.xy_um, self.info.footprint.pitch_um)

    def features(self, xy_um: np.ndarray) -> np.ndarray:
        """Standardised image features at points in µm, float32, points × F."""
        if self.raster is None:
            return np.zeros((len(xy_um), self.n_features), np.float32)
        if len(xy_um) == 0:
            return np.zeros((0, self.n_features), np.float32)
        return self.raster.sample(np.asarray(xy_um, np.float64), self._standardise)

    def _standardise(self, raw: np.ndarray) -> np.ndarray:
        values = np.clip((raw - self.feature_mean) / self.feature_sd, -FEATURE_CLIP, FEATURE_CLIP)
        values[np.isnan(values)] = 0  # where an encoder did not look, nothing is unusual
        return values if self.axes is None else values @ self.axes

    def footprint_points(self) -> np.ndarray:
        """Offsets (points × 2, µm) that sample the footprint: one for small locations, seven for spots."""
        return np.zeros((1, 2)) if self.raster is None else points_of(self.info.footprint)

    @cached_property
    def contrast(self) -> float:
        """Mean logarithm of the standard deviations of the raw image features on this slide; 0 without an image."""
        if self.raster is None:
            return 0.0
        return float(np.log(np.maximum(self.feature_sd.astype(np.float64), 1e-6)).mean())

    @cached_property
    def location_features(self) -> np.ndarray:
        """Image features of the locations themselves, averaged over their footprints, float32, locations × F."""
        return self.footprint_features(self.xy_um)

    def footprint_features(self, xy_um: np.ndarray) -> np.ndarray:
        """Image features averaged over the footprint of locations at `xy_um`, float32, points × F."""
        return self.features_within(xy_um, self.footprint_points())

    def features_within(self, xy_um: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Image features averaged over points at `offsets` (points × 2, µm) around each position."""
        points = (np.asarray(xy_um)[:, None] + offsets).reshape(-1, 2)
        return self.features(points).reshape(len(xy_um), len(offsets), -1).mean(axis=1)

    def descriptors(self) -> np.ndarray:
        """What the platform is, float32, D."""
        return describe_platform(self.info.platform, self.info.footprint)

    def panel_share(self) -> np.ndarray:
        """Share of the sample's counts that each panel gene holds, float64; even without counts."""
        total = np.asarray(self.counts.sum(axis=0)).ravel().astype(np.float64) + 0.5
        return total / total.sum()

    def baseline(self, prior: SpatialPrior, rows: np.ndarray | None = None) -> np.ndarray:
        """Expected proportions of the prior's genes in this sample, float64, G; `rows` of the panel, where known.

        The sample's own shares where it has counts, drawn towards the cohort's (a Dirichlet prior worth
        one spot's counts); the cohort's for genes that the sample does not measure.
        """
        rows = prior.rows(self.names) if rows is None else rows
        known = rows >= 0
        total = np.asarray(self.counts.sum(axis=0)).ravel()[known]
        rows = rows[known]
        expected = prior.baseline[rows]
        share = expected.sum()
        own = (total + REFERENCE_EXPOSURE * expected / share) / (total.sum() + REFERENCE_EXPOSURE)
        result = prior.baseline / share
        result[rows] = own
        return result


def points_of(footprint: Footprint) -> np.ndarray:
    """Offsets (points × 2, µm) that sample a footprint: one for small locations, seven for spots."""
    if footprint.size_um < MIN_FOOTPRINT_TO_SPLIT_UM:
        return np.zeros((1, 2))
    return centre_and_ring(0.33 * footprint.size_um)


def centre_and_ring(reach_um: float) -> np.ndarray:
    """Offsets (7 × 2, µm) that sample a round area: its centre, and six points at `reach_um` from it."""
    angle = np.arange(6) * np.pi / 3
    return np.concatenate([np.zeros((1, 2)), reach_um * np.stack([np.cos(angle), np.sin(angle)], axis=1)])


def describe_platform(platform: PlatformInfo, footprint: Footprint) -> np.ndarray:
    """Log resolution, log pitch, imaging, square, known; float32."""
    return np.array(
        [
            np.log2(max(footprint.size_um, 0.1) / 55.0),
            np.log2(max(footprint.pitch_um, 0.1) / 100.0),
            platform.technology == "imaging",
            footprint.shape == "square",
            1.0,
        ],
        np.float32,
    )


def without_image(data: SampleData, n_features: int) -> SampleData:
    """The same sample with its image ignored, for a model of `n_features` image features."""
    blank = np.zeros(n_features, np.float32)
    return replace(data, raster=None, feature_mean=blank, feature_sd=blank + 1, axes=None)


def without_counts(data: SampleData) -> SampleData:
    """The same sample without any counts."""
    return replace(data, counts=sparse.csr_matrix(data.counts.shape, dtype=np.float32))


def load_sample_data(sample: StoredSample, adata: AnnData | None = None) -> SampleData:
    """Read a stored sample for training or inference; `adata` is its content where it was read before.

    Raises
    ------
    BadInputError
        If there are no locations or no genes, or the panel is of proteins.
    """
    adata = sample.read() if adata is None else adata
    if min(adata.shape) == 0:
        raise BadInputError(f"{sample.path}: the sample has {adata.n_obs} locations and {adata.n_vars} genes")
    check_panel_of_genes(adata, sample.path)
    counts = sparse.csr_matrix(adata.X, dtype=np.float32)
    raster = RasterStack.open(sample.raster_paths)
    mean = sd = np.zeros(0, np.float32)
    if raster is not None:
        mean, sd = _level_and_spread(raster, adata.obsm[keys.SPATIAL_UM])
    return SampleData(
        info=sample.info,
        counts=counts,
        genes=gene_table(adata.var),
        obs_names=adata.obs_names.to_numpy(str),
        xy_um=np.asarray(adata.obsm[keys.SPATIAL_UM], np.float64),
        raster=raster,
        feature_mean=mean.astype(np.float32),
        feature_sd=sd.astype(np.float32),
    )


def _level_and_spread(raster: RasterStack, xy_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and sd of every feature over the tissue; over the locations where hardly any tissue is found."""
    on_tissue = raster.tissue_grid(STANDARDISE_STEP_UM)
    if len(on_tissue) > STANDARDISE_POINTS:
        on_tissue = on_tissue[np.linspace(0, len(on_tissue) - 1, STANDARDISE_POINTS).astype(int)]
    at = raster.sample(on_tissue if len(on_tissue) > 10 else np.asarray(xy_um, np.float64))
    if np.isnan(at).any():
        at = at[~np.isnan(at).any(axis=1)]
    return at.mean(axis=0), at.std(axis=0) + 1e-4
