"""A function of an enhanced file as a command: options from its signature, refusals, provenance, replacement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from focus_cli.cli.analysis_verb import analysis_verb
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError


def analyse(file: Any, *, factor: float = 2.0, shift: int = 1, up: bool = True, name: str = "value") -> dict[str, Any]:
    """Scale the position along x.

    Parameters
    ----------
    file
        The enhanced file.
    factor
        What x is
        multiplied by.
    shift : int
        Added afterwards.
    up, name
        Described together.
    """
    values = file.xy_um[:, 0] * factor + (shift if up else -shift)
    return {"obs": pd.DataFrame({name: values}, index=file.obs.index)}


@pytest.fixture
def command():
    return analysis_verb("scaled", analyse)


@pytest.fixture
def enhanced(tmp_path: Path) -> Path:
    adata = anndata.AnnData(np.ones((5, 2), np.float32))
    adata.obsm[keys.SPATIAL] = np.arange(10.0).reshape(5, 2)
    adata.uns[keys.UNS] = {"kind": "enhanced", "sample_id": "S1", "mpp": 0.5}
    adata.write_h5ad(tmp_path / "S1.h5ad")
    return tmp_path / "S1.h5ad"


def invoke(command, *options: object) -> None:
    CliRunner().invoke(command, [str(option) for option in options], catch_exceptions=False)


def test_parameters_become_options_with_their_description(command):
    options = {p.opts[0]: p for p in command.params if p.param_type_name == "option"}
    assert set(options) == {"--out", "--factor", "--shift", "--up", "--name", "--overwrite"}
    assert options["--factor"].help == "What x is multiplied by."
    assert options["--shift"].help == "Added afterwards."
    assert options["--name"].help == options["--up"].help == "Described together."
    assert options["--up"].secondary_opts == ["--no-up"]
    assert command.help.startswith("Scale the position along x.\n")
    assert "focus scaled " in command.help and "Parameters" not in command.help


def test_the_result_has_the_values_the_settings_and_the_input(command, enhanced, tmp_path):
    out = tmp_path / "out.h5ad"
    invoke(command, enhanced, "--out", out, "--factor", 3, "--no-up")
    result = anndata.read_h5ad(out)
    assert list(result.obs["value"]) == [3 * x - 1 for x in (0, 1, 2, 3, 4)]
    record = json.loads(result.uns[keys.UNS]["provenance"])
    assert record["command"] == "scaled"
    assert record["settings"] == {"factor": 3.0, "shift": 1, "up": False, "name": "value"}
    assert record["inputs"]["enhanced"]["name"] == "S1.h5ad"


def test_only_a_result_of_the_same_command_is_replaced(command, enhanced, tmp_path):
    out = tmp_path / "out.h5ad"
    invoke(command, enhanced, "--out", out)
    with pytest.raises(OutputExistsError):
        invoke(command, enhanced, "--out", out)
    invoke(command, enhanced, "--out", out, "--overwrite", "--shift", 5)
    assert anndata.read_h5ad(out).obs["value"].iloc[0] == 5
    before = out.read_bytes()
    with pytest.raises(OutputExistsError):
        invoke(analysis_verb("other", analyse), enhanced, "--out", out, "--overwrite")
    with pytest.raises(UsageError):
        invoke(command, enhanced, "--out", enhanced, "--overwrite")
    assert out.read_bytes() == before


def test_an_input_that_was_not_enhanced_is_refused_and_nothing_is_written(command, enhanced, tmp_path):
    out = tmp_path / "out.h5ad"
    with pytest.raises(MissingResourceError):
        invoke(command, tmp_path / "absent.h5ad", "--out", out)
    adata = anndata.read_h5ad(enhanced)
    adata.uns[keys.UNS]["kind"] = "domains"
    adata.write_h5ad(enhanced)
    with pytest.raises(BadInputError, match="'domains'"):
        invoke(command, enhanced, "--out", out)
    assert not out.exists()


def no_default(file, *, radius: float):
    """Fail.

    Parameters
    ----------
    radius
        Of something.
    """


def no_description(file, *, radius: float = 1.0):
    """Fail."""


def no_such_type(file, *, radius: Path = Path()):
    """Fail.

    Parameters
    ----------
    radius
        Of something.
    """


@pytest.mark.parametrize("function", [no_default, no_description, no_such_type])
def test_a_parameter_that_makes_no_option_is_a_defect(function):
    with pytest.raises(TypeError, match="radius"):
        analysis_verb("wrong", function)
