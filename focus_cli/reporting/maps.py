"""Maps of values over tissue as small pictures: one pixel-to-location table, then one look-up per map."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np

EXPRESSION = "viridis"
UNCERTAINTY = "cividis"
STATES = "magma"
_FAR = 1.02  # a little more than half a pitch, so that squares of a slightly turned grid leave no gaps


@dataclass(frozen=True)
class Frame:
    """The part of the slide that is shown, in full-resolution pixels, and its size on the page."""

    x0: float
    y0: float
    width: float
    height: float
    columns: int
    rows: int

    @classmethod
    def around(cls, xy: np.ndarray, reach: float, side: int) -> Frame:
        """Frame all locations (n, 2) with a margin; the longer side becomes `side` pixels."""
        low, high = xy.min(axis=0) - reach, xy.max(axis=0) + reach
        margin = 0.02 * float((high - low).max())
        low, span = low - margin, np.maximum(high - low + 2 * margin, 1e-9)
        # A strip (one row of locations) still gets a picture, not a line.
        span, low = np.maximum(span, span.max() / 4), low - np.maximum(span.max() / 4 - span, 0) / 2
        columns, rows = np.maximum(1, np.round(side * span / span.max())).astype(int)
        return cls(float(low[0]), float(low[1]), float(span[0]), float(span[1]), int(columns), int(rows))

    def pixels(self, oversample: int) -> np.ndarray:
        """Full-resolution position (x, y) of every pixel centre, row by row, float64 (rows·columns, 2)."""
        columns, rows = self.columns * oversample, self.rows * oversample
        x = self.x0 + (np.arange(columns) + 0.5) * self.width / columns
        y = self.y0 + (np.arange(rows) + 0.5) * self.height / rows
        return np.stack([np.tile(x, rows), np.repeat(y, columns)], axis=1)


class Canvas:
    """Paints values of locations on a frame.

    Parameters
    ----------
    frame
        What is shown.
    xy
        Positions (n, 2) in full-resolution pixels.
    size
        Drawn diameter (circle) or side (square) of one location, full-resolution pixels.
    square
        Whether locations are squares.
    """

    def __init__(self, frame: Frame, xy: np.ndarray, size: float, square: bool) -> None:
        from scipy.spatial import cKDTree

        self.frame = frame
        # Enough subpixels that a disc is round and that no bin falls between pixels, within reason.
        wanted = 6.0 / max(1e-9, size * frame.columns / frame.width)
        self.oversample = int(np.clip(np.ceil(wanted), 2, 3))
        reach = _FAR * size / 2
        distance, index = cKDTree(xy).query(
            frame.pixels(self.oversample), p=np.inf if square else 2, distance_upper_bound=reach
        )
        index[~np.isfinite(distance)] = len(xy)
        self._index = index.astype(np.int32)

    def paint(self, values: np.ndarray, colormap: str, low: float, high: float) -> np.ndarray:
        """Colour the frame by `values` (n,); NaN stays transparent. Returns RGBA uint8 (rows, columns, 4)."""
        import matplotlib

        s, rows, columns = self.oversample, self.frame.rows, self.frame.columns
        values = np.append(np.asarray(values, dtype=np.float32), np.float32(np.nan))
        seen = np.isfinite(values)
        picked = np.where(seen, values, 0)[self._index].reshape(rows, s, columns, s)
        cover = seen[self._index].reshape(rows, s, columns, s).mean(axis=(1, 3), dtype=np.float32)
        mean = picked.mean(axis=(1, 3), dtype=np.float32) / np.maximum(cover, 1e-6)
        scaled = np.clip((mean - low) / max(high - low, 1e-12), 0, 1)
        rgba = matplotlib.colormaps[colormap](scaled, bytes=True)
        rgba[..., 3] = np.round(255 * cover)
        rgba[cover == 0] = 0
        return rgba

    def paint_colours(self, colours: np.ndarray) -> np.ndarray:
        """Colour the frame by colours (n, 3) in 0..1; NaN stays transparent. Returns RGBA uint8 (rows, columns, 4)."""
        s, rows, columns = self.oversample, self.frame.rows, self.frame.columns
        colours = np.concatenate([np.asarray(colours, dtype=np.float32), np.full((1, 3), np.nan, np.float32)])
        seen = np.isfinite(colours).all(axis=1)
        picked = np.where(seen[:, None], colours, 0)[self._index].reshape(rows, s, columns, s, 3)
        cover = seen[self._index].reshape(rows, s, columns, s).mean(axis=(1, 3), dtype=np.float32)
        mean = picked.mean(axis=(1, 3), dtype=np.float32) / np.maximum(cover, 1e-6)[..., None]
        rgba = np.round(255 * np.concatenate([np.clip(mean, 0, 1), cover[..., None]], axis=2)).astype(np.uint8)
        rgba[cover == 0] = 0
        return rgba


def limits(values: np.ndarray) -> tuple[float, float]:
    """The colour rule of every map: 1st to 99th percentile, or the whole range where these coincide."""
    values = values[np.isfinite(values)]
    if not len(values):
        return 0.0, 1.0
    low, high = np.percentile(values, [1, 99])
    if high - low < 1e-9:
        low, high = float(values.min()), float(values.max())
    return (float(low), float(high)) if high > low else (float(low), float(low) + 1.0)


def crop_image(image: np.ndarray, scale: float, frame: Frame, side: int) -> np.ndarray | None:
    """Cut `frame` out of a stored picture; outside of the picture is white.

    Parameters
    ----------
    image
        uint8 (h, w, 3).
    scale
        Picture pixels per full-resolution pixel.
    side
        Longer side of the result in pixels.

    Returns
    -------
    numpy.ndarray or None
        uint8 (rows, columns, 3); None where frame and picture do not meet.
    """
    from PIL import Image

    box = np.array([frame.x0, frame.y0, frame.x0 + frame.width, frame.y0 + frame.height]) * scale
    height, width = image.shape[:2]
    if box[0] >= width or box[1] >= height or box[2] <= 0 or box[3] <= 0:
        return None
    zoom = side / max(frame.width, frame.height)
    size = (max(1, round(frame.width * zoom)), max(1, round(frame.height * zoom)))
    # A frame that leaves the picture is filled with white, at the picture's own scale.
    left, top = max(0, int(-box[0]) + 1), max(0, int(-box[1]) + 1)
    right, bottom = max(0, int(box[2] - width) + 1), max(0, int(box[3] - height) + 1)
    if left or top or right or bottom:
        image = np.pad(image, ((top, bottom), (left, right), (0, 0)), constant_values=255)
        box = box + np.array([left, top, left, top])
    cut = Image.fromarray(np.ascontiguousarray(image)).resize(
        size,
        Image.Resampling.LANCZOS if box[2] - box[0] > size[0] else Image.Resampling.BICUBIC,
        box=tuple(box),
    )
    return np.asarray(cut)


def data_uri(pixels: np.ndarray, *, quality: int = 84) -> str:
    """Encode a picture as a ``data:`` address: WebP, with transparency where there are four channels."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "WEBP", quality=quality, method=2, alpha_quality=90, exact=False)
    return "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def gradient(colormap: str, stops: int = 9) -> str:
    """The colours of a map as CSS stops for a colour bar."""
    import matplotlib
    from matplotlib.colors import to_hex

    return ",".join(to_hex(matplotlib.colormaps[colormap](t)) for t in np.linspace(0, 1, stops))
