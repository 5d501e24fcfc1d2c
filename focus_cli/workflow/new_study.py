"""The files that a new study starts from."""

from __future__ import annotations

from pathlib import Path

from focus_cli.core.storage import atomic_file, check_output
from focus_cli.core.storage.kinds import NEW_FILE
from focus_cli.workflow.config import COLUMNS
from focus_cli.workflow.config.models import SampleRow
from focus_cli.workflow.locate import home

_README = """\
# A study with FOCUS

1. Fill in `samples.tsv`: one line per sample, cells separated by tabs. `sample` and `path` must be given; `split`
   sets samples aside that are enhanced and scored but never learnt from, `group` states which samples share a model.
2. Look through `config.yaml`; name an annotated single-cell reference there if you have one.
3. Look what would be done, then do it:

       focus run --dry-run
       focus run --cores 4

The results are in `results/`: `enhanced/SAMPLE.h5ad`, `reports/SAMPLE.html`, `scores.tsv`, and `cohort.html` with
one row per sample, failures included. A run that was stopped resumes when it is started again. What a raw folder
holds: `focus inspect PATH`.
"""


def write_study(folder: Path) -> list[Path]:
    """Write ``config.yaml``, ``samples.tsv`` and ``README.md`` into `folder`.

    Returns
    -------
    list of Path
        What was written.

    Raises
    ------
    OutputExistsError
        If one of the files is there already; none is written then.
    """
    folder = Path(folder)
    config = (home() / "config" / "config.yaml").read_text(encoding="utf-8")
    texts = {
        "config.yaml": config.replace("config/samples.tsv", "samples.tsv       ", 1)
        .replace("config/config.yaml", "config.yaml")
        .replace("config/README.md", "the comments there"),
        "samples.tsv": _sheet(),
        "README.md": _README,
    }
    for name in texts:
        check_output(folder / name, NEW_FILE, overwrite=None, option="DIR")
    for name, text in texts.items():
        with atomic_file(folder / name, kind=NEW_FILE) as temporary:
            temporary.write_text(text, encoding="utf-8")
    return [folder / name for name in texts]


def _sheet() -> str:
    """A sheet without samples that describes each column."""
    lines = ["# One line per sample, cells separated by tabs; an empty cell means: not given.", "#"]
    for name, field in SampleRow.model_fields.items():
        must = " (required)" if field.is_required() else ""
        meaning = " ".join((field.description or "").split())
        lines.append(f"# {name:<11} {meaning}{must}")
    lines += ["#", "# S1\t/data/run1/S1/outs\tvisium", "\t".join(COLUMNS)]
    return "\n".join(lines) + "\n"
