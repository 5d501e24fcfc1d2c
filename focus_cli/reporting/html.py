"""One HTML file that needs no network: sections of samples, scores, what was run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from focus_cli import __version__
from focus_cli.errors import BadInputError, UsageError
from focus_cli.h5ad.spatial_file import SpatialFile
from focus_cli.progress import task
from focus_cli.reporting.genes import RULE_IMPUTED, RULE_MEASURED, refuse_unknown
from focus_cli.reporting.sample_report import SampleSection, sample_name, sample_section
from focus_cli.reporting.scores import ScoreSet, read_scores
from focus_cli.store import atomic_file, refuse_existing

_TEMPLATE = "report.html.j2"
_SIDES = ((2, 520), (4, 420), (8, 320), (16, 240))  # samples → longer side of a map: many samples, small maps
_SMALLEST = 180


def write_report(
    files: Sequence[Path],
    out: Path,
    *,
    scores: Sequence[Path] = (),
    genes: Sequence[str] | None = None,
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
        If a file cannot be read as an AnnData with positions, or scores cannot be read.
    OutputExistsError
        If `out` exists and `overwrite` is false.
    """
    files, out = [Path(f) for f in files], Path(out)
    asked = list(dict.fromkeys(genes or ()))
    _check(files, out, overwrite)
    score_sets = [read_scores(folder) for folder in scores]
    with ExitStack() as stack:
        opened = []
        for path in files:
            with _reading(path):
                opened.append(stack.enter_context(SpatialFile(path)))
        if asked:
            refuse_unknown(asked, [_gene_names(f) for f in opened])
        sections = _sections(opened, asked)
    page = _render(sections, score_sets)
    with atomic_file(out, overwrite) as temporary:
        temporary.write_text(page, encoding="utf-8")
    return out


def _check(files: list[Path], out: Path, overwrite: bool) -> None:
    if not files:
        raise UsageError("nothing to report on", hint="name one or more files written by focus enhance")
    if out.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"--out {out} is not an .html file", hint="choose a name that ends in .html")
    seen: set[Path] = set()
    for path in files:
        if path.resolve() in seen:
            raise UsageError(f"{path} is given twice", hint="name each file once")
        seen.add(path.resolve())
    refuse_existing(out, overwrite)
    if out.is_dir():
        raise UsageError(f"--out {out} is a folder", hint="name a file that ends in .html")


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
    from focus_cli import keys

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


def _sections(files: list[SpatialFile], asked: list[str]) -> list[SampleSection]:
    pairs = _pair(files)
    side = next((s for most, s in _SIDES if len(pairs) <= most), _SMALLEST)
    sections = []
    with task("reporting", len(pairs)) as running:
        for i, (file, refined) in enumerate(pairs, start=1):
            running.note(sample_name(file))
            with _reading(file.path):
                sections.append(sample_section(file, refined, anchor=f"s{i}", asked=asked, side=side))
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
    return environment.get_template(_TEMPLATE).render(
        version=__version__,
        sections=sections,
        score_sets=score_sets,
        rule_measured=RULE_MEASURED,
        rule_imputed=RULE_IMPUTED,
    )
