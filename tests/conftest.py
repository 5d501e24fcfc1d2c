"""What every test may ask for: the real data, a small simulated study, a clean environment."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

REPO = Path(__file__).resolve().parents[1]

# One thread per test process: two cores are shared, and a sum has one order.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

# How long an example takes depends on what else the machine does, and is no property of the code.
settings.register_profile("focus", deadline=None)
settings.load_profile("focus")


@pytest.fixture(autouse=True)
def _signal_handlers() -> Iterator[None]:
    """`focus train` ignores stop signals once it ends; the next test, and the processes it starts, must not."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="session")
def repo() -> Path:
    """The top of the source tree."""
    return REPO


@pytest.fixture(scope="session")
def focus_data() -> Path:
    """Folder with the real data, from ``FOCUS_DATA``; the test skips where it is absent."""
    path = Path(os.environ.get("FOCUS_DATA", REPO.parent / "shared" / "data")).expanduser().resolve()
    if not (path / "README.md").is_file():
        pytest.skip("no real data: set FOCUS_DATA to the folder that holds them")
    return path


@dataclass(frozen=True)
class Study:
    """A simulated study on disk: raw vendor folders, a reference, and the truth."""

    path: Path

    @property
    def sections(self) -> list[Path]:
        """Raw folders, one per section, in the order of their names."""
        return sorted(p for p in (self.path / "sections").iterdir() if p.is_dir())

    @property
    def reference(self) -> Path:
        """Annotated single cells with raw counts."""
        return self.path / "reference.h5ad"

    @property
    def sheet(self) -> Path:
        """The samples sheet of the study."""
        return self.path / "samples.tsv"

    def truth(self, section: str, *, fine: bool = False) -> Path:
        """Expected expression of one section, at its locations or on the fine grid."""
        return self.path / "truth" / (f"{section}.fine.h5ad" if fine else f"{section}.h5ad")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first process of a test run which needs it makes, and that all processes read."""
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    path, made = shared / name, shared / f"{name}.made"
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(path, ignore_errors=True)  # of a process that failed
            path.mkdir()
            make(path)
            made.touch()
    return path


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A small simulated study, made once per test run; tests must not write into it."""
    from focus_cli.simulation import simulate

    def make(path: Path) -> None:
        simulate(path / "study", seed=0, size_um=1500, n_genes=120, mpp=2.0)

    return Study(made_once(tmp_path_factory, "simulated", make) / "study")


@dataclass(frozen=True)
class EnhancedStudy:
    """The simulated study after enhancement: what every verb that comes later starts from."""

    study: Study
    samples: dict[str, Path]
    reference: Path
    model: Path
    enhanced: dict[str, Path]


@pytest.fixture(scope="session")
def enhanced_study(study: Study, tmp_path_factory: pytest.TempPathFactory) -> EnhancedStudy:
    """The study stored, a small model of both sections, and their enhanced files with four draws; not to be changed."""
    from focus_cli.enhancement import enhance
    from focus_cli.enhancement.stage import EnhanceOptions
    from focus_cli.genes.reference import build_reference
    from focus_cli.model.training.stage import train
    from focus_cli.platforms.preprocessing import preprocess

    def make(path: Path) -> None:
        for raw in study.sections:
            preprocess(raw, path / "samples" / raw.name, raw.name)
        samples = [path / "samples" / raw.name for raw in study.sections]
        build_reference(study.reference, path / "reference", seed=0)
        train(samples, path / "model", reference=path / "reference", max_steps=120, device="cpu")
        for sample in samples:
            out, options = path / "enhanced" / f"{sample.name}.h5ad", EnhanceOptions(samples=4, device="cpu")
            enhance(sample, out, model=path / "model", reference=path / "reference", options=options)

    path = made_once(tmp_path_factory, "enhanced_study", make)
    samples = {raw.name: path / "samples" / raw.name for raw in study.sections}
    enhanced = {name: path / "enhanced" / f"{name}.h5ad" for name in samples}
    return EnhancedStudy(study, samples, path / "reference", path / "model", enhanced)
