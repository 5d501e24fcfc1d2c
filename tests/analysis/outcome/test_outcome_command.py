"""The verb: options reach the stage, and a refusal has its exit code."""

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from embedding_files import write_embedding, write_table

from focus_cli.cli.main import cli
from focus_cli.core.errors import BadInputError


def test_fit_and_apply_from_the_command_line(tmp_path):
    rng = np.random.default_rng(0)
    response = np.arange(24) % 2
    files = [
        write_embedding(tmp_path / f"S{i:02d}.h5ad", f"S{i:02d}", rng.normal(size=(16, 3)) + 2 * response[i])
        for i in range(24)
    ]
    table = pd.DataFrame({"sample": [f"S{i:02d}" for i in range(24)], "response": np.where(response, "yes", "no")})
    path = write_table(tmp_path / "t.tsv", table.assign(age=rng.integers(40, 80, 24)))
    head, named = str(tmp_path / "head"), [str(file) for file in files]
    arguments = ["outcome", "fit", *named, "--table", str(path), "--outcome", "response", "--out", head]
    more = ["--covariates", "age", "--permutations", "0", "--pooling", "mean"]
    result = CliRunner().invoke(cli, [*arguments, *more], catch_exceptions=False)
    assert "AUROC over 24 donors, 12 events" in result.output and "not a medical device" in result.output
    out = str(tmp_path / "s.tsv")
    arguments = ["outcome", "apply", named[0], "--head", head, "--table", str(path), "--out", out]
    result = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert "probability_with_covariates" in result.output and "S00" in result.output


def test_a_refusal_is_raised_for_the_group_to_print(tmp_path):
    pytest.importorskip("lifelines")
    file = write_embedding(tmp_path / "a.h5ad", "a", np.ones((4, 2)))
    path = write_table(tmp_path / "t.tsv", pd.DataFrame({"sample": ["a"], "months": [3], "died": [1]}))
    arguments = ["outcome", "fit", str(file), "--table", str(path), "--time", "months", "--event", "died"]
    with pytest.raises(BadInputError, match="all samples are of one donor, a") as error:
        CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "head")], catch_exceptions=False)
    assert error.value.exit_code == 3
