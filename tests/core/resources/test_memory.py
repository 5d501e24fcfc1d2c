"""A job that cannot fit is refused in one line, before any of its work."""

import resource
from dataclasses import replace

import pytest

from focus_cli.core.errors import MissingResourceError
from focus_cli.core.resources import DEFAULT_SIZE, STAGES, Size, available_mb, check_memory, memory, needs
from focus_cli.platforms.preprocessing import preprocess

LARGE = Size(1_000_000, 18_000, 400_000_000)


def test_slurm_bounds_the_memory(monkeypatch):
    free, _ = available_mb()
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "512")
    assert available_mb() == (min(free, 536), "SLURM_MEM_PER_NODE")


def test_memory_for_each_processor_is_multiplied(monkeypatch):
    monkeypatch.setenv("SLURM_MEM_PER_CPU", "100")
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "3")
    assert available_mb() == (314, "SLURM_MEM_PER_CPU")


@pytest.mark.parametrize("odd", ["", "0", "all"])
def test_an_odd_or_empty_grant_of_slurm_bounds_nothing(monkeypatch, odd):
    free, _ = available_mb()
    monkeypatch.setenv("SLURM_MEM_PER_NODE", odd)
    assert available_mb()[0] > free / 2


def test_the_address_space_bounds_the_memory(monkeypatch):
    mapped = {"VmSize": 3 * 10**9, "VmRSS": 10**9, "VmData": 10**9, "RssAnon": 10**9}
    monkeypatch.setattr(memory, "_status", lambda: mapped)
    monkeypatch.setattr(memory, "_PER_THREAD", 0)
    for kind, name, left in ((resource.RLIMIT_AS, "ulimit -v", 700), (resource.RLIMIT_DATA, "ulimit -d", 2700)):
        limits = {kind: (2_700_000_000, resource.RLIM_INFINITY)}
        none = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        monkeypatch.setattr(resource, "getrlimit", lambda which, limits=limits, none=none: limits.get(which, none))
        # What is mapped and not used counts against a limit on what is mapped.
        assert (left, name) in list(memory._rlimit())


@pytest.mark.parametrize(
    ("group", "files"),
    [
        ("0::/jobs/7", {"jobs/7/memory.max": "max", "jobs/memory.max": "300000000"}),
        ("4:memory:/jobs/7", {"memory/jobs/7/memory.limit_in_bytes": "300000000"}),
        ("0::/", {"memory.max": "300000000"}),
    ],
)
def test_control_groups_of_both_versions_and_of_parents_count(monkeypatch, tmp_path, group, files):
    for name, text in files.items():
        path = tmp_path / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "self").write_text(group + "\n")
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(memory, "_OWN_CGROUP", tmp_path / "self")
    assert available_mb() == (300, "limit of the control group")


def test_what_clearly_does_not_fit_is_refused_with_what_to_lower(monkeypatch):
    monkeypatch.setattr(memory, "available_mb", lambda: (1000, "SLURM_MEM_PER_NODE"))
    with pytest.raises(MissingResourceError) as refused:
        check_memory("enhance", LARGE, lower="lower this")
    assert "enhance needs about" in refused.value.message
    assert "1.0 GB are available (SLURM_MEM_PER_NODE)" in refused.value.message
    assert refused.value.hint.startswith("lower this")


@pytest.mark.parametrize("stage", STAGES)
def test_a_job_that_was_granted_what_it_asked_for_is_never_refused(monkeypatch, stage):
    for size in (LARGE, replace(LARGE, known=False), DEFAULT_SIZE, Size(10, 10, 10)):
        granted = needs(stage, size).mem_mb
        monkeypatch.setattr(memory, "available_mb", lambda granted=granted: (granted, "a scheduler"))
        check_memory(stage, size)


def test_a_guess_refuses_later_than_a_header(monkeypatch):
    wanted = needs("enhance", LARGE).mem_mb
    monkeypatch.setattr(memory, "available_mb", lambda: (int(0.4 * wanted), "a scheduler"))
    check_memory("enhance", replace(LARGE, known=False))
    with pytest.raises(MissingResourceError):
        check_memory("enhance", LARGE)


def test_a_stage_refuses_before_it_reads(study, tmp_path, monkeypatch):
    def no_reading(*_, **__):
        raise AssertionError("read before the check")

    monkeypatch.setattr(memory, "available_mb", lambda: (50, "limit of the control group"))
    monkeypatch.setattr("focus_cli.platforms.read", no_reading)
    with pytest.raises(MissingResourceError, match="preprocess needs about"):
        preprocess(study.sections[0], tmp_path / "S1", "S1", platform="visium")
    assert not list(tmp_path.iterdir())


def verbs_after_enhancement(made, out):
    """Stage of each verb, and the verb on real outputs; `out` must stay empty."""
    from focus_cli.analysis.annotation.stage import apply_annotation, fit_annotation
    from focus_cli.analysis.celltypes.stage import celltypes
    from focus_cli.analysis.domains.stage import find_domains
    from focus_cli.analysis.embedding.stage import embed
    from focus_cli.analysis.interactions.stage import find_interactions
    from focus_cli.analysis.outcome.stage import apply_outcome, fit_outcome
    from focus_cli.analysis.patterns.stage import find_patterns
    from focus_cli.enhancement.attribution.stage import WhyOptions, why
    from focus_cli.reporting.export.stage import export

    name = min(made.samples)
    file, sample, no = made.enhanced[name], made.samples[name], out / "not there"
    return {
        "embed": lambda: embed(sample, out / "e.h5ad", model=made.model),
        "domains": lambda: find_domains([file], out / "domains"),
        "celltypes": lambda: celltypes(file, made.reference, out / "c.h5ad"),
        "patterns": lambda: find_patterns(file, out / "p.h5ad"),
        "interactions": lambda: find_interactions(file, out / "i.h5ad", pairs=no),
        "fit_annotations": lambda: fit_annotation([file], no, out / "head"),
        "annotate": lambda: apply_annotation(file, no, out / "a.h5ad"),
        "fit_outcome": lambda: fit_outcome([file], no, out / "head", outcome="x"),
        "outcome": lambda: apply_outcome([file], no, out / "o.tsv"),
        "why": lambda: why(sample, out / "w.h5ad", model=made.model, options=WhyOptions(("G0001",))),
        "export": lambda: export(file, [], "anndata", out / "all.h5ad"),
    }


def test_what_comes_after_enhancement_refuses_before_its_work(enhanced_study, tmp_path, monkeypatch):
    verbs = verbs_after_enhancement(enhanced_study, tmp_path)
    before = ("preprocess", "reference", "pack", "train", "train_fold", "enhance", "enhance_fold", "refine_fold")
    assert set(verbs) == set(STAGES) - {*before, "hold_out", "score", "report"}
    monkeypatch.setattr(memory, "available_mb", lambda: (50, "limit of the control group"))
    for stage, verb in verbs.items():
        with pytest.raises(MissingResourceError, match=f"{stage} needs about"):
            verb()
    assert not list(tmp_path.iterdir())
