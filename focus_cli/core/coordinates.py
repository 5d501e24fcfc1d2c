"""Where things lie: named coordinate systems, and the affine transforms between them.

Every system is flat, (x, y), x to the right and y down. A pixel i covers [i, i + 1). No scale factor stands
alone: a sample stores how each system that it has is reached from another, and everything else is composed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError


class System(StrEnum):
    """The coordinate systems of a sample."""

    ARRAY = "array"  # (column, row) on the capture array
    VENDOR = "vendor"  # as the vendor's table states positions, where that is none of the others
    FULLRES = "fullres"  # pixels of the image that the positions refer to: obsm["spatial"]
    UM = "um"  # µm, the axes and the origin of FULLRES: obsm["spatial_um"]
    IMAGE = "image"  # pixels of the H&E that is tiled


@dataclass(frozen=True)
class Affine:
    """A map (x, y) → matrix · (x, y, 1); `matrix` is float64 (3, 3), its last row (0, 0, 1)."""

    matrix: tuple[tuple[float, float, float], ...]

    def __post_init__(self) -> None:
        matrix = np.array(self.matrix, dtype=np.float64)
        if matrix.shape != (3, 3) or not np.all(np.isfinite(matrix)) or not np.array_equal(matrix[2], (0, 0, 1)):
            raise BadInputError("a transform must be three rows of three numbers, the last (0, 0, 1)")
        if abs(np.linalg.det(matrix)) < 1e-18:
            raise BadInputError("a transform cannot be inverted: it maps the plane onto a line")
        object.__setattr__(self, "matrix", tuple(tuple(float(v) for v in row) for row in matrix))

    @classmethod
    def of(cls, matrix: np.ndarray | Sequence[Sequence[float]]) -> Affine:
        """From numbers, float (3, 3) or (2, 3).

        Raises
        ------
        BadInputError
            If they are no invertible affine map.
        """
        array = np.asarray(matrix, dtype=np.float64)
        if array.shape == (2, 3):
            array = np.vstack([array, (0, 0, 1)])
        return cls(tuple(map(tuple, array)))

    @classmethod
    def scaling(cls, factor: float, shift: tuple[float, float] = (0.0, 0.0)) -> Affine:
        """Multiply by `factor`, then add `shift`."""
        return cls.of([[factor, 0, shift[0]], [0, factor, shift[1]]])

    def __call__(self, xy: np.ndarray) -> np.ndarray:
        """Map positions, float (n, 2)."""
        matrix = np.array(self.matrix)
        return np.asarray(xy, np.float64) @ matrix[:2, :2].T + matrix[:2, 2]

    def __matmul__(self, first: Affine) -> Affine:
        """The map that does `first`, then this one."""
        return Affine.of(np.array(self.matrix) @ np.array(first.matrix))

    def inverse(self) -> Affine:
        """The way back."""
        inverted = np.linalg.inv(np.array(self.matrix))
        inverted[2] = (0, 0, 1)
        return Affine.of(inverted)

    @property
    def scale(self) -> float:
        """Length of the image of a unit: the root of the area's factor."""
        return float(np.sqrt(abs(np.linalg.det(np.array(self.matrix)[:2, :2]))))

    @property
    def mirrored(self) -> bool:
        """Whether left and right are exchanged."""
        return float(np.linalg.det(np.array(self.matrix)[:2, :2])) < 0

    @property
    def anisotropy(self) -> float:
        """Longest over shortest stretch; 1 for a similarity."""
        stretches = np.linalg.svd(np.array(self.matrix)[:2, :2], compute_uv=False)
        return float(stretches[0] / stretches[1])

    def scaled(self, factor: float) -> Affine:
        """The same map between pictures whose pixels are both multiplied by `factor`."""
        return Affine.scaling(factor) @ self @ Affine.scaling(1 / factor)

    def is_scaling(self, tolerance: float = 1e-9) -> bool:
        """Whether this only multiplies, without turning, shearing or shifting."""
        return bool(np.allclose(self.matrix, Affine.scaling(self.scale).matrix, rtol=tolerance, atol=tolerance))


@dataclass(frozen=True)
class Link:
    """How `target` is reached from `source`, and `origin`: the file or the reasoning that it is based on."""

    source: System
    target: System
    transform: Affine
    origin: str


class Coordinates:
    """The coordinate systems that a sample has, linked by transforms."""

    def __init__(self, links: Iterable[Link] = ()) -> None:
        self.links: tuple[Link, ...] = ()
        for link in links:
            self.add(link.source, link.target, link.transform, link.origin)

    def add(self, source: System, target: System, transform: Affine, origin: str) -> None:
        """State one transform; an earlier one between the same two systems is replaced."""
        others = [k for k in self.links if {k.source, k.target} != {source, target}]
        self.links = (*others, Link(System(source), System(target), transform, origin))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Coordinates) and self.links == other.links

    __hash__ = None  # type: ignore[assignment]  # links can be added

    def __repr__(self) -> str:
        return f"Coordinates({', '.join(f'{k.source} → {k.target}' for k in self.links)})"

    def knows(self, system: System) -> bool:
        """Whether any transform leads to or from `system`."""
        return any(system in (k.source, k.target) for k in self.links)

    def between(self, source: System, target: System) -> Affine:
        """The transform from one system to another, composed and inverted along the links.

        Raises
        ------
        BadInputError
            If nothing links them.
        """
        found = {System(source): Affine.scaling(1.0)}
        edge = [System(source)]
        while edge and target not in found:
            here = edge.pop(0)
            for link in self.links:
                for start, end, step in (
                    (link.source, link.target, link.transform),
                    (link.target, link.source, link.transform.inverse()),
                ):
                    if start == here and end not in found:
                        found[end] = step @ found[here]
                        edge.append(end)
        if target not in found:
            raise BadInputError(f"no transform leads from {source} to {target}", hint="run focus preprocess again")
        return found[target]

    def to_json(self) -> list[dict[str, Any]]:
        """JSON-safe: one entry for each link."""
        return [
            {"source": str(k.source), "target": str(k.target), "matrix": [list(r) for r in k.transform.matrix]}
            | {"origin": k.origin}
            for k in self.links
        ]

    @classmethod
    def from_json(cls, entries: list[dict[str, Any]]) -> Coordinates:
        """The inverse of `to_json`.

        Raises
        ------
        BadInputError
            If an entry is no link.
        """
        try:
            return cls(
                Link(System(e["source"]), System(e["target"]), Affine.of(e["matrix"]), str(e["origin"]))
                for e in entries
            )
        except (KeyError, TypeError, ValueError, BadInputError) as error:
            raise BadInputError(f"damaged coordinates: {error}", hint="run focus preprocess again") from error
