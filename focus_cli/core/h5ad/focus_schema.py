"""The schema of ``uns["focus"]``, as far as it is read back, and of the columns that have a meaning of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.schema import Document, Microns, MicronsPerPixel, Name, Pitch, SampleId, Text, validated

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

_AGAIN = "write the file again"
_NUMBERS = (
    keys.IN_TISSUE,
    keys.TOTAL_COUNTS,
    keys.EXPOSURE,
    keys.OBS_RELIABILITY,
    keys.OOD_SCORE,
    keys.ABSTAIN,
    keys.MEASURED,
    keys.LEVEL_SD,
    keys.NETWORK_WEIGHT,
    keys.BASELINE,
)


class FocusDocument(Document):
    """What an enhanced file or an analysis result states of itself. Other keys are kept as they are."""

    model_config = ConfigDict(extra="allow")

    kind: Name = "enhanced"
    sample_id: SampleId | None = None
    platform: Text | None = None
    mpp: MicronsPerPixel | None = None
    footprint_shape: Text | None = None
    footprint_um: Microns | None = None
    pitch_um: Pitch | None = None
    resolution_um: Microns | None = None
    space: Text | None = None
    widths_um: list[Pitch] | None = None
    fields: dict[Name, Text] | None = None
    warnings: list[Text] | str | None = None
    alignment: dict[str, Any] | None = None
    provenance: dict[str, Any] | str | None = None


def check_focus(focus: dict[str, Any], path: Path) -> None:
    """Refuse a record that no version of FOCUS wrote.

    Raises
    ------
    BadInputError
        Naming the file and the key.
    """
    if focus:
        validated(FocusDocument, focus, f"{path}: uns[{keys.UNS!r}]", _AGAIN)


def check_columns(table: pd.DataFrame, name: str, path: Path) -> None:
    """Refuse text in the columns that FOCUS writes as numbers.

    Raises
    ------
    BadInputError
        Naming the file and the column.
    """
    for column in _NUMBERS:
        if column in table and table[column].dtype.kind not in "iufb":
            raise BadInputError(f"{path}: {name}[{column!r}] holds no numbers", hint=_AGAIN)
