"""Options that several verbs share, so that they mean the same everywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.core.errors import UsageError
from focus_cli.core.platform_names import AUTO, PLATFORMS

# Existence is checked by the stages, whose errors name the file and carry FOCUS's own exit codes.
PATH = click.Path(path_type=Path)

overwrite_option = click.option("--overwrite", is_flag=True, help="Replace the output if it exists.")
seed_option = click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same bytes."
)
device_option = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to compute; auto takes a GPU if there is one.",
)
_READER_OPTIONS = (
    click.option(
        "--platform",
        default=AUTO,
        show_default=True,
        help=f"What wrote it: {AUTO}, {', '.join(PLATFORMS)}.",
    ),
    click.option("--image", type=PATH, help="The H&E image: TIFF, SVS, JPEG or PNG."),
    click.option(
        "--mpp",
        type=click.FloatRange(min=0, min_open=True),
        help="µm per pixel of the full-resolution image, where the vendor's files do not say.",
    ),
    click.option(
        "--bin-um",
        type=click.FloatRange(min=0, min_open=True),
        help="Bin side in µm (Visium HD, Stereo-seq: finer bins are merged), or width of a channel (DBiT-seq).",
    ),
    click.option("--region", help="Which section, where a file or folder holds several (a refusal lists them)."),
    click.option("--table", help="Which table of a SpatialData store (a refusal lists them)."),
    click.option("--counts", metavar="FILE", help="Table of counts in the raw folder (with --platform tables)."),
    click.option("--positions", metavar="FILE", help="Table of positions in the raw folder (with --platform tables)."),
    click.option(
        "--xy",
        metavar="X,Y",
        help="Columns of x and y in --positions, where their names do not tell; numbers if it has no header.",
    ),
    click.option(
        "--in-order",
        is_flag=True,
        default=None,
        help="The rows of --positions have no names and are in the order of --counts.",
    ),
)


def reader_options(command: Callable) -> Callable:
    """What can be said of raw data, the same for every verb that reads them.

    Every keyword parameter of any platform's reader is one of them.
    """
    for option in reversed(_READER_OPTIONS):
        command = option(command)
    return command


_PREPARATION_OPTIONS = (
    click.option("--no-image", is_flag=True, help="Leave the image aside, even where there is one."),
    click.option(
        "--align",
        type=PATH,
        help="How an H&E that was imaged apart lies: 3 × 3 or 2 × 3 numbers (csv) that map its pixels to those of the "
        "positions, as Xenium Explorer exports them.",
    ),
    click.option(
        "--align-from",
        type=click.Choice(["image", "positions"]),
        help="Which pixels --align maps from.  [default: image]",
    ),
    click.option(
        "--landmarks",
        type=PATH,
        help="The same places on H&E and positions (csv): x_image, y_image, and x, y in px or x_um, y_um.",
    ),
    click.option("--register", is_flag=True, help="Find how an H&E that was imaged apart lies on the locations."),
    click.option(
        "--orient",
        metavar="NAME",
        help='Turn the positions on the image, for instance "flipped left-right"; a refusal names the right one.',
    ),
    click.option(
        "--shift-um",
        metavar="RIGHT,DOWN",
        help="Shift the positions on the image, in µm, after everything else.",
    ),
    click.option(
        "--step-um",
        type=click.FloatRange(min=0, min_open=True),
        default=8.0,
        show_default=True,
        help="Pitch of the raster of image features, in µm.",
    ),
    click.option("--organ", default="", help="What the tissue is, for instance breast: a condition of the model."),
    click.option(
        "--species",
        default="",
        help="For instance human: a condition of the model; of a panel of several species, the one that is kept.",
    ),
    click.option(
        "--force",
        is_flag=True,
        help="Go on where the image is no H&E or does not fit the locations; warn instead.",
    ),
)


def preparation_options(command: Callable) -> Callable:
    """How raw data become a sample, the same for every verb that makes one.

    With them come the options of `reader_options`. The command is given a `Preparation` of all, as ``preparation``.
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
        from focus_cli.platforms.preprocessing import Placing, Preparation

        preparation = Preparation(
            reader={name: others.pop(name) for name in readers},
            use_image=not no_image,
            placing=Placing(align, align_from, landmarks, register, orient, shift_um),
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
    """Names under which options are handed to a command."""

    def nothing() -> None:
        pass

    for option in options:
        option(nothing)
    return [parameter.name for parameter in vars(nothing)["__click_params__"]]


_ENCODER_OPTIONS = (
    click.option(
        "--encoder",
        metavar="SPEC",
        help="Learned image encoder beside the built-in features: a name, a folder of `focus pretrain`, timm:NAME, "
        "hf:NAME or a .yaml; `focus features --list` names them.",
    ),
    click.option(
        "--encoder-step-um",
        type=click.FloatRange(min=0, min_open=True),
        help="Pitch of the encoder's raster, µm.  [default: half a tile]",
    ),
    click.option(
        "--encoder-mpp",
        type=click.FloatRange(min=0, min_open=True),
        help="µm per pixel of the encoder's tiles, where it does not say.",
    ),
    click.option("--dense", is_flag=True, help="Patch tokens of the encoder in place of one vector per tile."),
    click.option("--features-store", type=PATH, help="Folder that keeps encoded slides for the next run."),
)


def encoder_options(command: Callable) -> Callable:
    """Which learned encoder measures the image, the same for every verb that makes samples.

    With them comes --device. The command is given an `Encoding` of all, as ``encoding``.
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


_MADE_OF_OPTIONS = (
    click.option(
        "--sample",
        type=PATH,
        help="The sample that was enhanced; with --model, tests also lean on what it tells of a gene without it.",
    ),
    click.option("--model", type=PATH, help="Model folder; best one that was not trained on this sample."),
    click.option("--reference", type=PATH, help="Folder made by `focus reference`, as for `focus enhance`."),
    click.option(
        "--folds",
        type=click.IntRange(min=2, max=50),
        default=4,
        show_default=True,
        help="Parts that the panel is dealt into; the sample is inferred once with each part hidden.",
    ),
)


def made_of_options(command: Callable) -> Callable:
    """What an enhanced file was made of, the same for every verb that tests genes against what is told without them."""
    for option in reversed(_MADE_OF_OPTIONS):
        command = option(command)
    return command


def _use_gene_table(ctx: click.Context, param: click.Parameter, path: Path | None) -> None:
    if path is not None and not ctx.resilient_parsing:
        from focus_cli.genes import use_gene_table

        use_gene_table(path)
        ctx.call_on_close(lambda: use_gene_table(None))


# Nothing is handed to the command: every stage asks for the table where it matches genes.
gene_table_option = click.option(
    "--gene-table",
    type=PATH,
    expose_value=False,
    callback=_use_gene_table,
    help="Gene names of your own in the place of the installed table (docs/genes.md). $FOCUS_GENE_TABLE does the same.",
)


def named_files(texts: Sequence[str], option: str) -> dict[str, Path]:
    """Read ``NAME=FILE`` pairs.

    Raises
    ------
    UsageError
        If one has no name or no file, or a name comes twice.
    """
    found: dict[str, Path] = {}
    for text in texts:
        name, _, path = text.partition("=")
        if not name or not path:
            raise UsageError(f"{option} {text}: not NAME=FILE", hint=f"for instance {option} magic=magic.h5ad")
        if name in found:
            raise UsageError(f"{option} names {name!r} twice", hint="give each estimate a name of its own")
        found[name] = Path(path)
    return found
