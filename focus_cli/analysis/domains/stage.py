"""The stage behind ``focus domains``: embeddings of a cohort → one map of domains for each sample."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.analysis.domains.boundary import neighbours, on_boundary
from focus_cli.analysis.domains.from_embedding import read_embedding
from focus_cli.analysis.domains.from_enhanced import read_estimate, sections_of
from focus_cli.analysis.domains.mixture import (
    COVARIANCES,
    MAX_DOMAINS,
    MIN_PER_DOMAIN,
    Trial,
    aligned,
    choose,
    fit_axes,
    fit_mixture,
    half_fits,
    landmarks,
    probabilities,
    stability,
)
from focus_cli.analysis.domains.section import Ground, Section, beside
from focus_cli.analysis.domains.stability import flattened, halves, sharpness
from focus_cli.core import keys, provenance
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.pitch import location_pitch
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.progress import print_message, task
from focus_cli.core.resources import check_memory, result_size
from focus_cli.core.storage import atomic_directory, check_output
from focus_cli.core.storage.kinds import DOMAINS

KIND = "domains"

MIN_LOCATIONS = 2 * MIN_PER_DOMAIN
UNSTABLE = 0.6  # adjusted Rand index between halves, below which the map is unreliable
_MADE_BY = "focus embed and focus enhance write them"


def find_domains(
    files: Sequence[Path],
    out: Path,
    *,
    n_domains: int | None = None,
    ignore_depth: bool = False,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Find domains over all samples together.

    Parameters
    ----------
    files
        Of ``focus embed``, of one space; or of ``focus enhance``.
    out
        Folder to make: ``SAMPLE.h5ad`` for each of them, and ``domains.json``.
    n_domains
        How many; None: as many as come out again from halves of the locations.
    ignore_depth
        Ignore the total counts of a location.

    Raises
    ------
    FocusError
        Of the kind that fits. Nothing is written then.
    """
    if not files:
        raise UsageError("no file is given", hint="name those that focus embed or focus enhance wrote")
    if n_domains is not None and n_domains < 2:
        raise UsageError("--n-domains must be at least 2", hint="leave it away to have it chosen")
    check_output(out, DOMAINS, inputs=files, overwrite=overwrite)
    check_memory("domains", [result_size(path) for path in files], "give fewer samples at once")
    sections = _read([Path(path) for path in files], n_domains)
    if not ignore_depth:
        sections = beside(sections)
    record = provenance.describe_run(
        "domains",
        {"n_domains": "auto" if n_domains is None else n_domains, "ignore_depth": ignore_depth, "seed": seed},
        {f"section:{s.name}": s.path for s in sections},
        seed,
    )
    pooled = np.concatenate([s.vectors[s.usable] for s in sections])
    if not np.ptp(pooled, axis=0).any():
        raise BadInputError("all neighbourhood vectors are alike: there is nothing to divide")
    axes = fit_axes(pooled)
    values = axes(pooled)
    rows = landmarks(values, seed)
    fitted = values[rows]
    xy = np.concatenate([s.xy_um[s.usable] for s in sections])
    member = np.repeat(np.arange(len(sections)), [int(s.usable.sum()) for s in sections])
    halved = halves(xy[rows], member[rows], seed)
    trials = _trials(fitted, halved, n_domains, seed)
    chosen = choose(trials)
    if chosen.stability < UNSTABLE:
        agreed = f"{chosen.stability:.2f} of 1"
        print_message(f"domains: halves of the tissue do not agree ({agreed}): do not rest anything on these domains")
    print_message(f"domains: {chosen.number} over {len(values):,} locations of {len(sections)} samples")
    mixture = fit_mixture(fitted, chosen.number, chosen.covariance, seed)
    everywhere = probabilities(mixture, values)
    order = np.argsort(-everywhere.sum(axis=0), kind="stable")  # the commonest first
    refits = list(half_fits(fitted, halved, chosen.number, chosen.covariance, seed))
    own = everywhere[rows][:, order]
    exponent = sharpness(
        [
            aligned(probabilities(refit, axes(_pooled_view(sections, number)[rows])), own)
            for number, refit in enumerate(refits)
        ]
    )
    maps = {}
    with task("mapping domains", len(sections)) as progress:
        for section in sections:
            maps[section.name] = _map(section, axes, mixture, order, refits, exponent)
            progress.advance(1)
    with atomic_directory(out, overwrite, kind=DOMAINS) as folder:
        for section in sections:
            _write(folder / f"{section.name}.h5ad", section, maps[section.name], chosen.stability, record)
        summary = _summary(sections, maps, trials, chosen, by_stability=n_domains is None)
        summary["sharpness"] = round(exponent, 6)
        (folder / keys.DOMAINS_JSON).write_text(_json(summary | {"provenance": record}))


def _json(content: dict) -> str:
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def _read(paths: Sequence[Path], n_domains: int | None) -> list[Section]:
    """Sections by name; all files are embeddings, or all are enhanced."""
    embeddings, estimates = [], []
    for path in paths:
        with SpatialFile(path) as file:
            if file.kind == "embedding":
                embeddings.append(read_embedding(file))
            elif file.kind in ("enhanced", "refined"):
                estimates.append(read_estimate(file))
            else:
                raise BadInputError(f"{path} is {file.kind!r}, neither 'embedding' nor 'enhanced'", hint=_MADE_BY)
    if embeddings and estimates:
        raise BadInputError(
            f"{embeddings[0].path} is an embedding and {estimates[0].path} is enhanced expression",
            hint="name files of one kind",
        )
    grounds = sorted(embeddings or estimates, key=lambda ground: ground.name)
    _check_ground(grounds, n_domains)
    sections = sections_of(grounds) if estimates else grounds
    _check_space(sections)
    return sections


def _check_ground(grounds: Sequence[Ground], n_domains: int | None) -> None:
    for first, second in pairwise(grounds):
        if first.name == second.name:
            raise BadInputError(
                f"{first.path} and {second.path} are both of sample {first.name}", hint="name each sample once"
            )
    total = sum(int(g.usable.sum()) for g in grounds)
    needed = max(MIN_LOCATIONS, MIN_PER_DOMAIN * (n_domains or 0))
    if total < needed:
        names = ", ".join(g.name for g in grounds)
        raise BadInputError(f"{total} locations on tissue in {names}; {needed} are needed", hint="give more samples")


def _check_space(sections: Sequence[Section]) -> None:
    for first, second in pairwise(sections):
        if first.space != second.space or first.vectors.shape[1] != second.vectors.shape[1]:
            raise BadInputError(
                f"{first.path} and {second.path} lie in different spaces ({first.space}; {second.space})",
                hint="embed all samples with the same --model, --mode and --widths-um",
            )


def _trials(values: np.ndarray, halved: Sequence[np.ndarray], n_domains: int | None, seed: int) -> list[Trial]:
    most = min(MAX_DOMAINS, len(values) // 2 // MIN_PER_DOMAIN)
    numbers = range(2, max(most, 2) + 1) if n_domains is None else [n_domains]
    found = []
    with task("how many domains come out again", len(numbers)) as progress:
        for number in numbers:
            for covariance in COVARIANCES:
                found.append(Trial(number, covariance, stability(values, halved, number, covariance, seed)))
            progress.advance(1)
    return found


def _view(section: Section, number: int) -> np.ndarray:
    """What a refit looks at: each at one draw, in turn, so that one spread comes out of both."""
    return section.draws[number % len(section.draws)] if section.draws else section.vectors


def _pooled_view(sections: Sequence[Section], number: int) -> np.ndarray:
    return np.concatenate([_view(s, number)[s.usable] for s in sections])


@dataclass(frozen=True)
class DomainMap:
    """Of one sample: mean probabilities (n, domains), the likeliest domain, and whether boundaries are seen again."""

    probability: np.ndarray
    domain: np.ndarray
    confidence: np.ndarray
    boundary: np.ndarray
    boundary_confidence: np.ndarray


def _map(section: Section, axes, mixture, order: np.ndarray, refits, exponent: float) -> DomainMap:
    """Domains of one sample, and how far they stay under refits on halves and under draws of the posterior."""
    own = probabilities(mixture, axes(section.vectors))[:, order]
    together, maps = flattened(own, exponent), [own.argmax(axis=1)]
    for number, refit in enumerate(refits):
        other = aligned(probabilities(refit, axes(_view(section, number))), own)
        together += flattened(other, exponent)
        maps.append(other.argmax(axis=1))
    mean = (together / len(maps)).astype(np.float32)
    domain = mean.argmax(axis=1)
    pairs = neighbours(section.xy_um, section.pitch_um or location_pitch(section.xy_um), section.usable)
    boundary = on_boundary(domain, pairs)
    again = np.mean([on_boundary(found, pairs) == boundary for found in maps], axis=0)
    return DomainMap(mean, domain, mean.max(axis=1), boundary, again.astype(np.float32))


def _write(path: Path, section: Section, found: DomainMap, stable: float, record: dict) -> None:
    names = [f"D{i + 1}" for i in range(found.probability.shape[1])]
    with SpatialFile(section.path) as file:
        codes = np.where(section.usable, found.domain, -1)
        unknown = ~section.usable
        obs = pd.DataFrame(
            {
                keys.DOMAIN: pd.Categorical.from_codes(codes, categories=names),
                keys.DOMAIN_CONFIDENCE: np.where(unknown, np.nan, found.confidence).astype(np.float32),
                keys.DOMAIN_BOUNDARY: found.boundary & section.usable,
                "domain_boundary_confidence": np.where(unknown, np.nan, found.boundary_confidence).astype(np.float32),
            },
            index=file.obs.index,
        )
        probability = pd.DataFrame(found.probability, index=file.obs.index, columns=names)
        write_analysis_result(
            path,
            file,
            KIND,
            record,
            obs=obs,
            obsm={"domain_probability": probability},
            facts={"space": section.space, "n_domains": len(names), "stability": stable, "draws": len(section.draws)},
        )


def _told(trials: list[Trial], covariance: str) -> dict[str, float]:
    return {str(t.number): round(t.stability, 6) for t in trials if t.covariance == covariance}


def _summary(
    sections: Sequence[Section], maps: dict[str, DomainMap], trials: list[Trial], chosen: Trial, *, by_stability: bool
) -> dict:
    number = chosen.number
    names = [f"D{i + 1}" for i in range(number)]
    samples = {}
    for section in sections:
        found, usable = maps[section.name], section.usable
        share = np.bincount(found.domain[usable], minlength=number) / max(usable.sum(), 1)
        samples[section.name] = {
            "locations": int(usable.sum()),
            "share": {name: round(float(s), 6) for name, s in zip(names, share)},
            "mean_confidence": round(float(found.confidence[usable].mean()), 6) if usable.any() else None,
            "boundary_share": round(float(found.boundary[usable].mean()), 6) if usable.any() else None,
        }
    return {
        "space": sections[0].space,
        "n_domains": number,
        "chosen_by": "stability" if by_stability else "the user",
        "covariance": chosen.covariance,
        "stability": _told(trials, chosen.covariance),
        "stability_of": {covariance: _told(trials, covariance) for covariance in COVARIANCES},
        "samples": samples,
    }
