"""One HTML file that needs no network: sections of samples, scores, what was run."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from focus_cli import __version__
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.progress import task
from focus_cli.core.storage import atomic_file, check_output
from focus_cli.core.storage.kinds import REPORT
from focus_cli.reporting.analyses.build import categories_of
from focus_cli.reporting.analyses.compose import compositions
from focus_cli.reporting.analyses.opened import AlignedResult, pair_analyses
from focus_cli.reporting.genes import RULE_IMPUTED, RULE_MEASURED, refuse_unknown
from focus_cli.reporting.sample_report import SampleSection, sample_name, sample_section
from focus_cli.reporting.scores import ScoreSet, read_scores
from focus_cli.reporting.slide_picture import FinerPicture
from focus_cli.reporting.viewer import MEGABYTES

_TEMPLATE, _SCRIPT = "report.html.j2", "viewer.js.j2"
_SIDES = ((2, 520), (4, 420), (8, 320), (16, 240))  # samples → longer side of a map: many samples, small maps
_SMALLEST = 180


def write_report(
    files: Sequence[Path],
    out: Path,
    *,
    scores: Sequence[Path] = (),
    genes: Sequence[str] | None = None,
    analyses: Sequence[Path] = (),
    samples: Sequence[Path] = (),
    viewer_mb: float = MEGABYTES,
    overwrite: bool = False,
) -> Path:
    """Write one self-contained HTML report on one or more enhanced files.

    Only the columns of the genes that are shown are read, so a file of 256 000 bins × 18 000 genes is fine.
    The same inputs give the same bytes.

    Parameters
    ----------
    files
        Enhanced files; a refined file is shown with the enhanced file of the same sample, or alone. Any
        AnnData with ``obsm["spatial"]`` is shown as far as it goes, and marked as not written by FOCUS.
    out
        The HTML file to make.
    scores
        Folders written by ``focus evaluate``.
    genes
        Genes to show besides those that the rules choose.
    analyses
        Files of ``focus domains``, ``celltypes``, … Each is shown with the file of the same sample.
    samples
        Stored samples, whose H&E is shown in place of the thumbnail of the file of the same sample.
    viewer_mb
        Size of the layers of the slide viewers, MB of text over all samples; 0 for no viewer.
    overwrite
        Replace an existing report.

    Returns
    -------
    pathlib.Path
        `out`.

    Raises
    ------
    UsageError
        If a file is given twice, `out` is no HTML file, or a gene is in none of the files.
    MissingResourceError
        If a file or a scores folder is not there.
    BadInputError
        If a file cannot be read as an AnnData with positions, scores cannot be read, or an analysis result or sample
        is of none of the files.
    OutputExistsError
        If `out` exists and `overwrite` is false.
    """
    files, analyses, out = [Path(f) for f in files], [Path(a) for a in analyses], Path(out)
    requested = list(dict.fromkeys(genes or ()))
    _check([*files, *analyses], out, [*samples, *scores], overwrite)
    finer = {picture.sample_id: picture for picture in map(FinerPicture.of, samples) if picture is not None}
    score_sets = [read_scores(folder) for folder in scores]
    with ExitStack() as stack:
        opened, results = [], []
        for paths, into in ((files, opened), (analyses, results)):
            for path in paths:
                with _reading(path):
                    into.append(stack.enter_context(SpatialFile(path)))
        if requested:
            refuse_unknown(requested, [_gene_names(f) for f in opened])
        pairs = _pair(opened)
        beside = pair_analyses([file for file, _ in pairs], results, sample_name)
        if unknown := sorted(set(finer) - {sample_name(file) for file, _ in pairs}):
            raise BadInputError(f"--sample {unknown[0]} is not in this report", hint="name its enhanced file too")
        sections = _sections(pairs, beside, requested, finer, viewer_mb * 1e6)
    page = _render(sections, score_sets)
    with atomic_file(out, overwrite, kind=REPORT) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def _check(files: list[Path], out: Path, others: list[Path], overwrite: bool) -> None:
    if not files:
        raise UsageError("nothing to report on", hint="name one or more files written by focus enhance")
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out} is not an .html file", hint="choose a name that ends in .html")
    seen: set[str] = set()
    for path in files:
        if os.path.realpath(path) in seen:
            raise UsageError(f"{path} is given twice", hint="name each file once")
        seen.add(os.path.realpath(path))
    check_output(out, REPORT, inputs=[*files, *others], overwrite=overwrite)


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn a failure of HDF5 in the middle of a file into a refusal that names it."""
    try:
        yield
    except OSError as error:
        raise BadInputError(
            f"cannot read {path}: {str(error).splitlines()[0]}",
            hint="the file is damaged: write or copy it again",
        ) from error


def _gene_names(file: SpatialFile) -> list[str]:
    from focus_cli.core import keys

    symbols = file.var[keys.SYMBOL].astype(str).tolist() if keys.SYMBOL in file.var else []
    return [*file.var.index, *symbols]


def _pair(files: list[SpatialFile]) -> list[tuple[SpatialFile, SpatialFile | None]]:
    """Set each refined file beside the first enhanced file of its sample that has none yet."""
    whole = [f for f in files if f.kind != "refined"]
    partner: dict[Path, SpatialFile] = {}
    alone = []
    for fine in (f for f in files if f.kind == "refined"):
        home = next((f for f in whole if f.path not in partner and sample_name(f) == sample_name(fine)), None)
        if home is None:
            alone.append(fine)
        else:
            partner[home.path] = fine
    return [(f, partner.get(f.path)) for f in files if f in whole or f in alone]


def _sections(
    pairs: list[tuple[SpatialFile, SpatialFile | None]],
    beside: list[list[AlignedResult]],
    requested: list[str],
    finer: dict[str, FinerPicture],
    viewer_bytes: float,
) -> list[SampleSection]:
    side = next((s for most, s in _SIDES if len(pairs) <= most), _SMALLEST)
    categories = categories_of([analysis for analyses in beside for analysis in analyses])
    sections = []
    with task("reporting", len(pairs)) as running:
        for i, ((file, refined), analyses) in enumerate(zip(pairs, beside), start=1):
            running.note(sample_name(file))
            with _reading(file.path):
                sections.append(
                    sample_section(
                        file,
                        refined,
                        anchor=f"s{i}",
                        requested=requested,
                        side=side,
                        analyses=analyses,
                        categories=categories,
                        viewer_bytes=viewer_bytes / len(pairs),
                        samples=len(pairs),
                        picture=finer.get(sample_name(file)),
                    )
                )
            running.advance()
    return sections


def _render(sections: list[SampleSection], score_sets: list[ScoreSet]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("focus_cli.reporting"),
        autoescape=True,  # names of genes, samples and files are text, whatever they hold
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["zip"] = zip
    # The policy admits this one script, by its hash, and nothing from anywhere else.
    script = "\n" + environment.get_template(_SCRIPT).render().strip() + "\n"
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    return environment.get_template(_TEMPLATE).render(
        version=__version__,
        sections=sections,
        score_sets=score_sets,
        rule_measured=RULE_MEASURED,
        rule_imputed=RULE_IMPUTED,
        compositions=compositions(sections),
        script=script,
        script_hash=digest,
    )
