"""What is refused of a run of several processes, and how a refusal of one of them is read once."""

from __future__ import annotations

import os

import pytest

from focus_cli.core.distributed import exit_report
from focus_cli.core.distributed.launch import check_launch, launch
from focus_cli.core.errors import BadInputError, FocusError, Preempted, UsageError
from focus_cli.model.training.config import TrainingConfig, share_of_views


@pytest.fixture
def no_cluster(monkeypatch):
    for name in ("WORLD_SIZE", "SLURM_JOB_ID", "SLURM_JOB_NODELIST", exit_report.VARIABLE):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_several_nodes_need_an_allocation(no_cluster):
    with pytest.raises(UsageError, match="Slurm allocation"):
        check_launch(1, 2)


@pytest.mark.parametrize("read", [True, False])
def test_more_nodes_than_the_allocation_has_are_refused(no_cluster, tmp_path, read):
    """The nodes are those of the environment, or where it was emptied, those that Slurm knows of the job."""
    program = tmp_path / "scontrol"
    program.write_text(
        """#!/bin/sh
case "$2 $3" in
  "job 7") echo "JobId=7 NumNodes=2 ReqNodeList=(null) NodeList=n[1-2] BatchHost=n1" ;;
  "hostnames n[1-2]") echo n1; echo n2 ;;
  *) exit 1 ;;
esac
"""
    )
    program.chmod(0o755)
    no_cluster.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    no_cluster.setenv("SLURM_JOB_ID", "7")
    if read:
        no_cluster.setenv("SLURM_JOB_NODELIST", "n[1-2]")
    check_launch(1, 2)
    with pytest.raises(UsageError, match="has 2"):
        check_launch(1, 3)


def test_processes_of_torchrun_do_not_start_processes(no_cluster):
    no_cluster.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match="torchrun"):
        check_launch(2, 1)


@pytest.mark.parametrize(("views", "processes", "share"), [(None, 1, 1), (None, 4, 1), (4, 2, 2), (1, 1, 1)])
def test_views_are_shared_evenly(views, processes, share):
    assert share_of_views(TrainingConfig(views_per_step=views), processes) == share


def test_views_that_cannot_be_shared_are_refused():
    with pytest.raises(UsageError, match="3 cannot be shared by 2") as refused:
        share_of_views(TrainingConfig(views_per_step=3), 2)
    assert "4" in refused.value.hint


def test_the_first_exit_report_stays_and_keeps_its_kind(tmp_path, monkeypatch):
    monkeypatch.setenv(exit_report.VARIABLE, str(tmp_path / "v"))
    assert exit_report.write_exit_report(Preempted("the first", "go on"))
    assert exit_report.write_exit_report(BadInputError("a consequence"))
    read = exit_report.read_exit_report(tmp_path / "v")
    assert isinstance(read, Preempted) and (read.message, read.hint) == ("the first", "go on")
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_without_a_path_for_it_there_is_no_exit_report(monkeypatch):
    monkeypatch.delenv(exit_report.VARIABLE, raising=False)
    assert not exit_report.write_exit_report(FocusError("printed by the process itself"))


@pytest.mark.slow
def test_a_refusal_of_the_processes_is_raised_once_and_leaves_nothing(tmp_path, no_cluster, capfd):
    with pytest.raises(FocusError) as refused:
        launch(["train", str(tmp_path), "--out", str(tmp_path / "model"), "--device", "cpu"], tmp_path / "model", 2)
    assert refused.value.exit_code == 4 and "sample.json" in refused.value.message
    assert "Traceback" not in capfd.readouterr().err
    assert list(tmp_path.iterdir()) == []
