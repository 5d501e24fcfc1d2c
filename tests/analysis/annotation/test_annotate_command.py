"""The verb: options reach the stage, and a refusal has its exit code."""

import pytest
from click.testing import CliRunner
from embedding_files import cohort, write_table

from focus_cli.cli.main import cli
from focus_cli.core.errors import BadInputError


def test_fit_and_apply_from_the_command_line(tmp_path):
    files, table = cohort(tmp_path, donors=2)
    labels = write_table(tmp_path / "l.tsv", table)
    arguments = ["annotate", "fit", *map(str, files), "--labels", str(labels), "--out", str(tmp_path / "head")]
    result = CliRunner().invoke(cli, [*arguments, "--ignore", "duct", "--per-class", "20"], catch_exceptions=False)
    assert "leaving out donors, 2 folds" in result.output and "AUROC" in result.output and "duct" not in result.output
    arguments = [
        "annotate",
        "apply",
        str(files[0]),
        "--head",
        str(tmp_path / "head"),
        "--out",
        str(tmp_path / "a.h5ad"),
    ]
    result = CliRunner().invoke(cli, [*arguments, "--abstain-above", "inf"], catch_exceptions=False)
    assert "tumour\t" in result.output and "abstained" not in result.output


def test_a_refusal_is_raised_for_the_group_to_print(tmp_path):
    files, table = cohort(tmp_path, donors=1)
    labels = write_table(tmp_path / "l.tsv", table)
    arguments = ["annotate", "fit", str(files[0]), "--labels", str(labels), "--out", str(tmp_path / "head")]
    with pytest.raises(BadInputError, match="one donor") as error:
        CliRunner().invoke(cli, arguments, catch_exceptions=False)
    assert error.value.exit_code == 3
