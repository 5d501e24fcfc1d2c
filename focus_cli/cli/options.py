"""Options that several commands share, with the same meaning in each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.core.errors import UsageError
from focus_cli.core.platform_names import AUTO, PLATFORMS

# The stages check existence: their errors name the file and have FOCUS's exit codes.
PATH = click.Path(path_type=Path)

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
seed_option = click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Random seed; the same seed gives the same bytes.",
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Device to compute on; auto uses a GPU if one is available.",
)
_READER_OPTIONS = (
    click.option(
        "--platform",
        default=AUTO,
        show_default=True,
        help=f"Platform of the raw data: {AUTO}, {', '.join(PLATFORMS)}.",
    ),
    click.option("--image", type=PATH, help="H&E image: TIFF, SVS, JPEG or PNG."),
    click.option(
        "--mpp",
        type=click.FloatRange(min=0, min_open=True),
        help="µm per pixel of the full-resolution image, if the vendor's files do not state it.",
    ),
    click.option(
        "--bin-um",
        type=click.FloatRange(min=0, min_open=True),
        help="Bin side in µm (Visium HD, Stereo-seq: finer bins are merged), or width of a channel (DBiT-seq).",
    ),
    click.option("--region", help="Section to read, if a file or folder holds several; the error message lists them."),
    click.option("--table", help="Table of a SpatialData store to read; the error message lists them."),
    click.option("--counts", metavar="FILE", help="Table of counts in the raw folder (with --platform tables)."),
    click.option("--positions", metavar="FILE", help="Table of positions in the raw folder (with --platform tables)."),
    click.option(
        "--xy",
        metavar="X,Y",
        help="Columns of x and y in --positions, if their names are not recognised; numbers if it has no header.",
    ),
    click.option(
        "--in-order",
        is_flag=True,
        default=None,
        help="The rows of --positions have no names and are in the order of --counts.",
    ),
)


def reader_options(command: Callable) -> Callable:
    """Add the options that describe raw data.

    They cover every keyword parameter of every platform's reader.
    """
    for option in reversed(_READER_OPTIONS):
        command = option(command)
    return command


_PREPARATION_OPTIONS = (
    click.option("--no-image", is_flag=True, help="Do not use an image, even if there is one."),
    click.option(
        "--align",
        type=PATH,
        help="Alignment of a separate H&E image: a 3 × 3 or 2 × 3 matrix (csv) that maps its pixels to those of the "
        "positions, as exported by Xenium Explorer.",
    ),
    click.option(
        "--align-from",
        type=click.Choice(["image", "positions"]),
        help="Pixels that --align maps from.  [default: image]",
    ),
    click.option(
        "--landmarks",
        type=PATH,
        help="Matching points of H&E and positions (csv): x_image, y_image, and x, y in px or x_um, y_um.",
    ),
    click.option("--register", is_flag=True, help="Register a separate H&E image to the locations."),
    click.option(
        "--orient",
        metavar="NAME",
        help='Orientation of the positions on the image, e.g. "flipped left-right"; an error message names the best.',
    ),
    click.option(
        "--shift-um",
        metavar="RIGHT,DOWN",
        help="Shift of the positions on the image, in µm, applied last.",
    ),
    click.option(
        "--step-um",
        type=click.FloatRange(min=0, min_open=True),
        default=8.0,
        show_default=True,
        help="Pitch of the raster of image features, in µm.",
    ),
    click.option("--organ", default="", help="Tissue, e.g. breast; a condition of the model."),
    click.option(
        "--species",
        default="",
        help="Species, e.g. human; a condition of the model. In a panel of several species, the one to keep.",
    ),
    click.option(
        "--force",
        is_flag=True,
        help="Continue with a warning if the image is not an H&E or does not fit the locations.",
    ),
)


def preparation_options(command: Callable) -> Callable:
    """Add the options of preprocessing, including those of `reader_options`.

    The command receives them as a `PreprocessOptions`, named ``preparation``.
    """
    readers = _names_of(_READER_OPTIONS)

    @wraps(command)
    def prepared(
        *args: Any,
        no_image: bool,
        align: Path | None,
        align_from: str | None,
        landmarks: Path | None,
        register: bool,
        orient: str | None,
        shift_um: str | None,
        step_um: float,
        organ: str,
        species: str,
        force: bool,
        **others: Any,
    ) -> Any:
        from focus_cli.platforms.preprocessing import Placement, PreprocessOptions

        preparation = PreprocessOptions(
            reader={name: others.pop(name) for name in readers},
            use_image=not no_image,
            placement=Placement(align, align_from, landmarks, register, orient, shift_um),
            step_um=step_um,
            organ=organ,
            species=species,
            force=force,
        )
        return command(*args, preparation=preparation, **others)

    for option in reversed((*_READER_OPTIONS, *_PREPARATION_OPTIONS)):
        prepared = option(prepared)
    return prepared


def _names_of(options: Sequence[Callable]) -> list[str]:
    """Parameter names of options."""

    def nothing() -> None:
        pass

    for option in options:
        option(nothing)
    return [parameter.name for parameter in vars(nothing)["__click_params__"]]


_ENCODER_OPTIONS = (
    click.option(
        "--encoder",
        metavar="SPEC",
        help="Learned image encoder, in addition to the built-in features: a name, a folder of `focus pretrain`, "
        "timm:NAME, hf:NAME or a .yaml file; `focus features --list` lists the names.",
    ),
    click.option(
        "--encoder-step-um",
        type=click.FloatRange(min=0, min_open=True),
        help="Pitch of the encoder's raster, µm.  [default: half a tile]",
    ),
    click.option(
        "--encoder-mpp",
        type=click.FloatRange(min=0, min_open=True),
        help="µm per pixel of the encoder's tiles, if the encoder does not state it.",
    ),
    click.option("--dense", is_flag=True, help="Use the encoder's patch tokens instead of one vector per tile."),
    click.option("--features-store", type=PATH, help="Folder in which encoded slides are kept for later runs."),
)


def encoder_options(command: Callable) -> Callable:
    """Add the options of the image encoder, with --device.

    The command receives them as an `Encoding`, named ``encoding``.
    """

    @wraps(command)
    def encoding(
        *args: Any,
        encoder: str | None,
        encoder_step_um: float | None,
        encoder_mpp: float | None,
        dense: bool,
        features_store: Path | None,
        device: str,
        **others: Any,
    ) -> Any:
        from focus_cli.platforms.preprocessing import Encoding

        chosen = Encoding(encoder, encoder_step_um, dense, encoder_mpp, features_store, device)
        return command(*args, encoding=chosen, **others)

    for option in reversed((*_ENCODER_OPTIONS, device_option)):
        encoding = option(encoding)
    return encoding


def _use_gene_table(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None and not ctx.resilient_parsing:
        from focus_cli.genes import use_gene_table

        use_gene_table(path)
        ctx.call_on_close(lambda: use_gene_table(None))


# The command receives nothing: every stage reads the table where it matches genes.
gene_table_option = click.option(
    "--gene-table",
    type=PATH,
    expose_value=False,
    callback=_use_gene_table,
    help="Custom table of gene names that replaces the installed one (docs/genes.md); also set by $FOCUS_GENE_TABLE.",
)


def _switch_orthologues(ctx: click.Context, param: click.Parameter, off: bool) -> None:
    if off and not ctx.resilient_parsing:
        from focus_cli.genes import use_orthologues

        use_orthologues(False)
        ctx.call_on_close(lambda: use_orthologues(None))


no_orthologues_option = click.option(
    "--no-orthologues",
    is_flag=True,
    expose_value=False,
    callback=_switch_orthologues,
    help="Refuse a model or a reference of another species instead of using one-to-one orthologues (docs/genes.md); "
    "also set by FOCUS_ORTHOLOGUES=off.",
)


def named_files(texts: Sequence[str], option: str) -> dict[str, Path]:
    """Read ``NAME=FILE`` pairs.

    Raises
    ------
    UsageError
        If one has no name or no file, or a name is repeated.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise UsageError(f"{option} {text}: not NAME=FILE", hint=f"for instance {option} magic=magic.h5ad")
        if name in found:
            raise UsageError(f"{option} names {name!r} twice", hint="give each estimate its own name")
        found[name] = Path(path)
    return found
