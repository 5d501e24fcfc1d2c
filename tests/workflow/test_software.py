"""One definition of the software, the catalog's rules, deployment as a module, Snakemake's report without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import focus_cli

ROOT = Path(__file__).parents[2]
CONFIG = "samples: study/samples.tsv\noutput: results\n"
MODULE = """
configfile: "config.yaml"


module focus:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from focus
"""


def snakemake(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess:
    words = [sys.executable, "-m", "snakemake", "--cores", "1", *options]
    told = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=told, timeout=120)


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A folder with a sheet of two samples, whose raw files are empty."""
    raw = tmp_path / "study"
    raw.mkdir()
    for name in ("a", "b"):
        (raw / f"{name}.h5ad").touch()
    (raw / "samples.tsv").write_text("sample\tpath\tplatform\nA\ta.h5ad\tanndata\nB\tb.h5ad\tanndata\n")
    (tmp_path / "config.yaml").write_text(CONFIG)
    return tmp_path


def test_conda_and_apptainer_share_one_environment_of_this_version():
    environment = yaml.safe_load((ROOT / "workflows" / "envs" / "focus.yaml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert [re.sub(r"\[.*\]", "", line) for line in pip] == [f"focus-st =={focus_cli.__version__}"]
    definition = (ROOT / "workflows" / "containers" / "focus.def").read_text()
    assert "workflows/envs/focus.yaml /opt/focus/focus.yaml" in definition
    assert "focus-st ==" not in definition


def test_the_other_package_of_an_image_takes_the_place_of_the_released_one(tmp_path):
    definition = (ROOT / "workflows" / "containers" / "focus.def").read_text()
    command = re.search(r"sed -i '.*?' /opt/focus/focus.yaml", definition).group()
    copy = tmp_path / "focus.yaml"
    copy.write_text((ROOT / "workflows" / "envs" / "focus.yaml").read_text())
    command = command.replace("{{ package }}", "/opt/focus/source").replace("/opt/focus/focus.yaml", str(copy))
    subprocess.run(command, shell=True, check=True)
    (pip,) = (e["pip"] for e in yaml.safe_load(copy.read_text())["dependencies"] if isinstance(e, dict))
    assert pip == ["/opt/focus/source"]


def test_the_catalog_finds_what_standardised_usage_needs():
    """https://github.com/snakemake/snakemake-workflow-catalog, source/docs/about/adding_workflows.md."""
    told = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert told["software-stack-deployment"].keys() == {"conda", "apptainer", "apptainer+conda"}
    assert told["mandatory-flags"].keys() == {"desc", "flags"} and told["report"] is True
    readme = (ROOT / "README.md").read_text().lower()
    assert "snakemake" in readme and "workflow" in readme
    assert (ROOT / "config" / "README.md").is_file()
    # A file of its own in a folder of its own: what asks GitHub for it follows no link.
    snakefile = ROOT / "workflow" / "Snakefile"
    assert snakefile.is_file() and not snakefile.is_symlink() and not snakefile.parent.is_symlink()


def test_the_workflow_can_be_used_as_a_module(study):
    """As snakedeploy sets it up, but for the address."""
    (study / "Snakefile").write_text(MODULE.format(snakefile=ROOT / "workflow" / "Snakefile"))
    done = snakemake(study, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert re.search(r"enhance +2", done.stdout + done.stderr)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A workflow that marks an output for the report, and is done."""
    (tmp_path / "Snakefile").write_text(
        """
rule all:
    input: "out/page.html"

rule page:
    output: report("out/page.html", category="Samples")
    shell: "echo '<p>a page</p>' > {output}"
"""
    )
    done = snakemake(tmp_path)
    assert done.returncode == 0, done.stderr
    return tmp_path


def test_snakemakes_report_is_made_without_a_network(finished, tmp_path):
    # No address can be looked up, no connection opened: anything that tried would end the report.
    (tmp_path / "sitecustomize.py").write_text(
        "import socket\n"
        "def refuse(*args, **options): raise OSError('no network')\n"
        "socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse\n"
    )
    done = snakemake(finished, "--report", "report.html", PYTHONPATH=f"{tmp_path}:{ROOT}")
    assert done.returncode == 0, done.stderr
    page = (finished / "report.html").read_text()
    assert "page.html" in page
    assert not re.search(r"<(script|link|img)[^>]+(src|href)=[\"']https?://", page)
