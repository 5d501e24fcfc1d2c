"""Description of a file or folder written by FOCUS: kind, provenance, inputs and fields."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.provenance import bytes_of
from focus_cli.reporting.ancestry import Ancestry
from focus_cli.reporting.column_fields import TABLES, column_fields, header_of
from focus_cli.reporting.context import platform_words, warnings_of
from focus_cli.reporting.explained_files import GENES_TXT, TRUTH_H5AD, explain_file, refuse_part
from focus_cli.reporting.explained_h5ad import part_fields
from focus_cli.reporting.facts import FILES, NOT_OURS, result, scalars
from focus_cli.reporting.fields import PART_FIELDS
from focus_cli.reporting.records import (
    DESCRIPTIONS,
    SCORES_JSON,
    corpus_record,
    features_attributes,
    features_record,
    load_json,
    provenance_of,
    record_of,
)

_FOLDERS = {
    keys.REFERENCE_JSON: ("reference", "a single-cell reference, made by focus reference"),
    keys.MODEL_JSON: ("model", "a trained model, made by focus train"),
    keys.ENCODER_JSON: ("encoder", "an image encoder, made by focus pretrain"),
    keys.HEAD_JSON: ("head", "a head on embeddings, made by focus annotate fit or focus outcome fit"),
    keys.DOMAINS_JSON: ("domains of a cohort", "one analysis result for each sample, found together by focus domains"),
    keys.PRIOR_JSON: ("prior", "a spatial co-expression prior, made by focus prior"),
    SCORES_JSON: ("scores", "scores of an enhanced file and the baselines, made by focus evaluate"),
}


def explain(
    path: Path,
    *,
    verify: bool = False,
    jobs_of: Callable[[Path], Sequence[dict[str, Any]]] = lambda path: (),
) -> dict[str, Any]:
    """Describe a file or folder written by FOCUS.

    Parameters
    ----------
    path
        Output of a FOCUS command: a file (``.h5ad``, a report, a table of scores or of nuclei) or a folder (sample,
        reference, model, prior, encoder, corpus, features, scores).
    verify
        Read every input that is found on disk and compare its hash with the recorded one.
    jobs_of
        File or folder → the jobs of the workflow that made it, the latest first.

    Returns
    -------
    dict
        JSON-safe: ``name``, ``kind``, ``what``, ``facts`` (name → value), ``fields`` (name, shape, dtype, unit,
        meaning), ``made_by`` (the provenance record), ``jobs``, ``upstream`` (see `Ancestry.upstream`), ``warnings``,
        ``use`` (advice).

    Raises
    ------
    MissingResourceError
        If there is nothing at `path`.
    BadInputError
        If it was not written by FOCUS, or is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file or folder: {path}", hint="check the path")
    found = _folder(path) if path.is_dir() else explain_file(path)
    found["jobs"] = list(jobs_of(path))

    def inputs_of_job(made: Path) -> list[str]:
        jobs = jobs_of(made)
        return list(jobs[0].get("input", ())) if jobs else []

    found["upstream"] = Ancestry(verify, inputs_of_job).upstream(path, found["made_by"])
    return found


def _folder(path: Path) -> dict[str, Any]:
    if (path / keys.SAMPLE_JSON).is_file():
        return _sample(path)
    if (path / keys.CORPUS_JSON).is_file():
        return _corpus(path)
    for name in DESCRIPTIONS:
        if (path / name).is_file():
            kind, what = _FOLDERS[name]
            record = load_json(path / name)
            return result(
                path,
                kind,
                what,
                facts=scalars(record),
                fields=_parts(path, kind),
                made_by=provenance_of(record),
                warnings=warnings_of(record),
            )
    if (path / TRUTH_H5AD).is_file() and (path / "observed").is_dir():
        return _fold(path)
    refuse_part(path)
    if attributes := features_attributes(path):
        facts = scalars(attributes, skip=("names",)) | {"features": len(attributes.get("names", ()))}
        what = "features of a learned image encoder over a slide, made by focus features or focus preprocess"
        return result(path, "features", what, facts=facts, made_by=features_record(path))
    raise BadInputError(f"{path} is a folder that FOCUS did not write", hint=NOT_OURS)


def _fold(path: Path) -> dict[str, Any]:
    meanings = {
        "observed": "the visible part: a sample",
        TRUTH_H5AD: "the held-out part",
        GENES_TXT: "which genes are scored",
        "model": "a separate model, trained without the held-out part",
        "enhanced.h5ad": "the estimate",
        "refined.h5ad": "the estimate on a finer grid",
        "scores": "scores of the estimate on the held-out part",
    }
    fields = [{"name": name, "meaning": text} for name, text in meanings.items() if (path / name).exists()]
    what = "a hold-out of one sample; use focus explain for each part"
    return result(path, "hold-out", what, fields=fields, made_by=record_of(path / TRUTH_H5AD))


def _parts(path: Path, kind: str) -> list[dict[str, Any]]:
    """Files of a folder, with the fields of an AnnData and the columns of a table."""
    names = sorted(p.name for p in path.iterdir() if not p.name.startswith("."))
    found: list[dict[str, Any]] = []
    for name in names:
        meaning = FILES.get(name, "")
        if kind == "domains of a cohort" and name.endswith(".h5ad"):
            meaning = "domains of one sample; use focus explain for its fields"
        found.append({"name": name, "meaning": meaning})
        if kind in PART_FIELDS and name in FILES and name.endswith(".h5ad"):
            found += part_fields(path / name, kind)
        elif name in TABLES:
            found += column_fields(header_of(path / name), TABLES[name], f"{name}: ")
    return found


def _corpus(path: Path) -> dict[str, Any]:
    record = corpus_record(path)
    facts = {
        "samples": len(record.get("inputs", ())),
        "bytes": bytes_of(path),
    }
    what = "samples packed for training, made by focus corpus"
    return result(path, "corpus", what, facts=facts, fields=_parts(path, "corpus"), made_by=record)


def _sample(path: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from focus_cli.core.storage import open_sample

    info = open_sample(path).info
    facts = {
        "sample_id": info.sample_id,
        "platform": platform_words({"platform": asdict(info.platform)}),
        "locations": info.n_locations,
        "genes": info.n_genes,
        "mpp": info.mpp,
        "footprint": asdict(info.footprint),
        "image": f"{info.image.width} × {info.image.height} px, {info.image.mpp:.4g} µm/px" if info.image else "none",
    }
    return result(
        path,
        "sample",
        f"a sample, made by focus {info.provenance.get('command', 'preprocess')}: "
        "raw counts, positions and image features",
        facts=facts,
        fields=_parts(path, "sample"),
        made_by=info.provenance,
        warnings=list(info.warnings),
        use=["Input of focus train and focus enhance."],
    )
