"""Which image is the H&E: the user's, else a full-resolution one beside the data, else a thumbnail."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.core.storage.regular import open_maybe_gzip
from focus_cli.histology.slides import is_omezarr

SUFFIXES = (".tif", ".tiff", ".btf", ".svs", ".ndpi", ".scn", ".mrxs", ".bif", ".jpg", ".jpeg", ".png")

# Images that vendors write beside the data and that are not the H&E: overlays, alignments, thumbnails, and
# the instrument's own picture of the slide.
_NEVER = re.compile(
    r"fiducial|detected_tissue|aligned_tissue|cytassist_image|tissue_(hi|low)res|thumbnail|mask|overlay"
    r"|tissue_?(cut|seg)|cell_?(cut|seg)|dapi|fluorescence|spatial_enrichment|morphology|polyt|cellbound"
    r"|(^|_)if_image|^cytassist.*(?<!tissue)_image$",
    re.IGNORECASE,
)
# From the surest name to the vaguest.
_LIKELY = (
    re.compile(r"(^|[_.-])tissue_image$", re.IGNORECASE),
    re.compile(r"(^|[_.-])(h&e|he|hne|h_and_e)([_.-]|$)", re.IGNORECASE),
    re.compile(r"(^|[_.-])image$", re.IGNORECASE),
)


def _stem(path: Path) -> str:
    name = path.name[: -len(path.suffix)]
    return name[:-4] if name.lower().endswith(".ome") else name


def never_he(path: Path) -> bool:
    """Whether a vendor's file name states that the image is not the H&E (``aligned_fiducials.jpg``, …)."""
    return bool(_NEVER.search(_stem(Path(path))))


def find_he(folders: Iterable[Path]) -> Path | None:
    """Find a full-resolution H&E beside the data, by its name.

    Parameters
    ----------
    folders
        Where to look, the nearest first; not searched deeper.

    Raises
    ------
    UsageError
        If several images are equally likely.
    """
    for folder in folders:
        if not folder.is_dir():
            continue
        images = sorted(p for p in folder.iterdir() if p.is_file() and p.suffix.lower() in SUFFIXES and not never_he(p))
        for likely in _LIKELY:
            found = [p for p in images if likely.search(_stem(p))]
            if len(found) > 1:
                raise UsageError(
                    f"{folder}: several images could be the H&E: {', '.join(p.name for p in found[:5])}",
                    hint="choose one with --image",
                )
            if found:
                return found[0]
    return None


def check_image(image: Path) -> Path:
    """Return the user's `image` if it is there and not one of the vendor's overlays.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If its name is that of a vendor's overlay or alignment picture.
    """
    image = Path(image)
    if not image.exists():
        raise MissingResourceError(f"no such image: {image}", hint="check --image")
    if image.is_dir() and not is_omezarr(image):
        raise BadInputError(f"{image} is a folder and no image", hint="give the H&E image itself with --image")
    if re.search(r"fiducial|detected_tissue|aligned_tissue", image.name, re.IGNORECASE):
        raise BadInputError(
            f"{image.name} is an overlay that Space Ranger draws, not the H&E",
            hint="give the image that Space Ranger was run on, or leave --image out",
        )
    return image


def image_size(path: Path) -> tuple[int, int] | None:
    """Width and height from the header of an image, whatever its name; None where it cannot be opened."""
    from focus_cli.core.storage.tiff_file import open_tiff_file
    from focus_cli.histology.slides import largest_series, open_slide, picture_size

    try:
        if path.is_dir():
            with open_slide(path) as slide:
                return slide.width, slide.height
        with open_maybe_gzip(path) as stream:
            magic = stream.read(8)
        if magic.startswith((b"\xff\xd8\xff", b"\x89PNG")):
            return _size_of_picture(path)
        with open_tiff_file(path) as tif:
            return picture_size(largest_series(tif))
    except (KeyError, IndexError):
        return None
    except FocusError:
        if path.is_dir():
            return None
        raise
    except Exception as error:  # decoders raise whatever they like of a damaged file
        if path.name.lower().removesuffix(".gz").endswith((".png", ".jpg", ".jpeg", ".tif", ".tiff", ".btf")):
            raise BadInputError(
                f"cannot read {path}: truncated or damaged image ({' '.join(str(error).split())[:120]})",
                hint="copy or download the file again",
            ) from error
        return None


def _size_of_picture(path: Path) -> tuple[int, int]:
    from PIL import Image

    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with open_maybe_gzip(path) as stream, Image.open(stream) as image:
            return image.size
    finally:
        Image.MAX_IMAGE_PIXELS = limit


def read_thumbnail(path: Path) -> np.ndarray:
    """Read a vendor's PNG or JPEG thumbnail, gzipped or not, as uint8 (height, width, 3).

    Raises
    ------
    BadInputError
        If it is truncated or no image.
    """
    from PIL import Image

    try:
        # Pillow warns of pictures beyond 89 megapixels on standard error, and refuses those beyond 179.
        with warnings.catch_warnings(), open_maybe_gzip(path) as stream, Image.open(stream) as image:
            warnings.simplefilter("ignore")
            if image.mode in ("RGBA", "LA", "P"):  # transparent means no tissue: white, not black
                image = image.convert("RGBA")
                if image.getchannel("A").getextrema()[0] == 255:
                    return np.asarray(image.convert("RGB"))
                white = Image.new("RGBA", image.size, (255, 255, 255, 255))
                image = Image.alpha_composite(white, image)
            elif image.mode.startswith("I"):  # 16-bit greyscale
                wide = np.asarray(image)
                return np.repeat((wide >> 8 if wide.max() > 255 else wide).astype(np.uint8)[..., None], 3, axis=2)
            return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))
    except FocusError:
        raise
    except Exception as error:  # decoders raise whatever they like of a damaged file
        raise BadInputError(
            f"cannot read {path}: truncated or damaged image ({' '.join(str(error).split())[:120]})",
            hint="copy or download the file again",
        ) from error


def scale_beside(image: Path, hires: Path | None, hires_scale: float | None) -> tuple[float, list[str]]:
    """Image pixels per full-resolution pixel, judged by the vendor's thumbnail of the same picture.

    Parameters
    ----------
    image
        The H&E to tile.
    hires, hires_scale
        The vendor's thumbnail and its pixels per full-resolution pixel, if there are such.

    Returns
    -------
    scale
        1.0 unless both sides give the same other factor.
    warnings
        A line if the image is a reduced copy, or of another shape than the thumbnail.
    """
    if hires is None or not hires_scale:
        return 1.0, []
    size, thumb = image_size(image), image_size(hires)
    if size is None or thumb is None:
        return 1.0, []
    # A thumbnail's side is a rounded number of pixels: it knows the shape to about one pixel.
    x, y = size[0] * hires_scale / thumb[0], size[1] * hires_scale / thumb[1]
    slack = 0.01 + 1.0 / min(thumb)
    if abs(x - 1) <= 2 * slack and abs(y - 1) <= 2 * slack:
        return 1.0, []
    if abs(x / y - 1) <= slack:
        factor = float(np.sqrt(x * y))
        return factor, [
            f"{image.name} is {factor:.4g} times the full-resolution image that the positions refer to; "
            "it is used at that scale"
        ]
    return 1.0, [
        f"{image.name} ({size[0]} × {size[1]} px) has another shape than the vendor's thumbnail "
        f"({thumb[0]} × {thumb[1]} px at {hires_scale:.4g}): is it the image of this section?"
    ]
