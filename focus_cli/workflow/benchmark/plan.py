"""Files of a benchmark and the options of its commands; the rules read them from this plan."""

from __future__ import annotations

from collections.abc import Iterator

from focus_cli.model.conditioning import SIGNALS
from focus_cli.workflow.benchmark.config import OBSERVED, BenchmarkConfig, Case, DerivedSection, Holdout, input_files
from focus_cli.workflow.config import expand, output_folder
from focus_cli.workflow.shell import each, flags

DEFAULT_TRUTH_BIN_UM = 16.0
DONE_WAY = {"dropped": "drop", "shuffled": "shuffle"}


class BenchmarkPlan:
    """Files and options of one benchmark.

    Parameters
    ----------
    config
        Checked.
    with_peers
        Whether there is an environment for the peers; without one they are left out.

    Raises
    ------
    FocusError
        If a path cannot be given to Snakemake as it is written.
    """

    def __init__(self, config: BenchmarkConfig, with_peers: bool = False) -> None:
        self.config, self.with_peers = config, with_peers
        self.out = output_folder(config)
        self._files = input_files(config)
        self.raw = {n: s for n, s in config.sections.items() if not isinstance(s, DerivedSection)}
        self.derived = {n: s for n, s in config.sections.items() if isinstance(s, DerivedSection)}
        self.cases = config.cases

    signals = SIGNALS
    ways = tuple(DONE_WAY)

    # --- where things go ------------------------------------------------------------------------------

    def section(self, name: str) -> str:
        """A stored section, read or derived."""
        return f"{self.out}/{'parts' if name in self.derived else 'sections'}/{name}"

    def reference(self, name: str | None) -> list[str]:
        """A reference, if there is one."""
        return [] if name is None else [f"{self.out}/references/{name}"]

    def case(self, name: str, *parts: str) -> str:
        """A file of a case."""
        return "/".join((self.out, "cases", name, *parts))

    def raw_input(self, name: str) -> list[str]:
        """Raw data and image of a section."""
        keys = (f"sections.{name}.path", f"sections.{name}.image")
        return [self._files[key] for key in keys if key in self._files]

    def reference_input(self, name: str) -> str:
        """The file of single cells."""
        return self._files[f"references.{name}.path"]

    # --- dependencies - ----------------------------------------------------------------------

    def training_of(self, name: str) -> list[str]:
        """The sections that the model of a case learns from."""
        case = self.cases[name]
        named = case.train or self.config.models[case.model].train
        return [self.case(name, OBSERVED) if n == OBSERVED else self.section(n) for n in named]

    def others_of(self, name: str) -> list[str]:
        """Of these, the whole sections, for baselines."""
        return [path for path in self.training_of(name) if path != self.case(name, OBSERVED)]

    def model_of(self, name: str) -> str:
        """The model of a case: a separate or a shared one."""
        case = self.cases[name]
        return self.case(name, "model") if case.train else f"{self.out}/models/{case.model}"

    def scored_file(self, name: str) -> str:
        """Files that are compared with the truth."""
        return self.case(name, "refined.h5ad" if self.refines(name) else "enhanced.h5ad")

    def refines(self, name: str) -> bool:
        """Whether a case is about resolution."""
        return self.cases[name].holdout.task == "refine"

    @classmethod
    def labels_of(cls, case: Case) -> Iterator[str]:
        """Labels of the ablations of a case, such as ``image_shuffled``."""
        for signal in case.ablate:
            for done in cls.ways:
                yield f"{signal}_{done}"

    def also_of(self, name: str) -> dict[str, str]:
        """Further estimates of a case by their names in the table."""
        named = {label: self.case(name, "ablations", f"{label}.h5ad") for label in self.labels_of(self.cases[name])}
        if self.with_peers:
            named |= {peer: self.case(name, "peers", f"{peer}.h5ad") for peer in self.cases[name].peers}
        return named

    @property
    def scores(self) -> list[str]:
        """Folders of scores of all cases."""
        return [self.case(name, "scores") for name in self.cases]

    # --- options for the shell ------------------------------------------------------------------------

    def preprocess_flags(self, name: str) -> str:
        """Of ``focus preprocess``."""
        s = self.raw[name]
        return flags(
            platform=s.platform,
            image=self._files.get(f"sections.{name}.image"),
            mpp=s.mpp,
            bin_um=s.bin_um,
            organ=s.organ,
            species=s.species,
            encoder=expand(s.encoder) if s.encoder else None,
            encoder_step_um=s.encoder_step_um,
            encoder_mpp=s.encoder_mpp,
            dense=s.dense,
        )

    def reference_flags(self, name: str) -> str:
        """Of ``focus reference``."""
        return flags(cell_type=self.config.references[name].cell_type)

    def derive_flags(self, name: str) -> str:
        """Of ``focus holdout``, where its visible part becomes a section."""
        return f"{self._holdout(self.derived[name].holdout)} {flags(sample=name)}"

    def holdout_flags(self, name: str) -> str:
        """Of ``focus holdout`` of a case."""
        return self._holdout(self.cases[name].holdout)

    def _holdout(self, holdout: Holdout) -> str:
        def box(values) -> str | None:
            return None if values is None else ",".join(f"{v:g}" for v in values)

        return flags(
            task=holdout.task,
            n_genes=holdout.n_genes,
            fraction=holdout.fraction,
            truth_bin_um=holdout.truth_bin_um,
            test_fraction=holdout.test_fraction,
            buffer_um=holdout.buffer_um,
            region=box(holdout.region),
            crop=box(holdout.crop),
            seed=self.config.seed,
        )

    def train_flags(self) -> str:
        """Of ``focus train``."""
        return flags(max_steps=self.config.max_steps, seed=self.config.seed)

    def enhance_flags(self, name: str, scored: str) -> str:
        """Of ``focus enhance`` of a case that writes the file `scored` (and, if it refines, another beside it)."""
        case = self.cases[name]
        words = [flags(seed=self.config.seed)]
        if self.refines(name):
            resolution = case.holdout.truth_bin_um or DEFAULT_TRUTH_BIN_UM
            words.append(flags(resolution_um=resolution, refined=scored))
        if case.holdout.task == "histology" and self._hides_all(case):
            words.append("--histology-only")
        elif case.adapt:
            words.append(flags(adapt=case.adapt))
        return " ".join(words)

    @staticmethod
    def _hides_all(case: Case) -> bool:
        return case.holdout.test_fraction in (None, 1) and case.holdout.region is None

    @staticmethod
    def ablate_flags(signal: str, done: str) -> str:
        """Of ``focus enhance`` of an ablation."""
        return flags(ablate=f"{signal}={DONE_WAY[done]}")

    def evaluate_flags(self, name: str) -> str:
        """Of ``focus evaluate``: everything but the files of the fold itself."""
        also = each("also", (f"{label}={path}" for label, path in self.also_of(name).items()))
        return f"{each('training', self.others_of(name))} {also} {flags(seed=self.config.seed)}"
