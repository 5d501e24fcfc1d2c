# Shared by all: the checked configuration, the plan of the run, and what the rules look up in it.

import pandas
from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from focus_cli.config import check_config, expand, load_samples
from focus_cli.errors import FocusError
from focus_cli.workflow.plan import Plan
from focus_cli.workflow.restart import sweep
from focus_cli.workflow.shell import each, flags, one_of, use_this_environment

use_this_environment()

try:
    RUN = check_config(config)
    SAMPLES = load_samples(expand(RUN.samples))
    PLAN = Plan(RUN, SAMPLES)
except FocusError as error:
    raise WorkflowError(" — ".join(filter(None, (error.message, error.hint)))) from None

validate(
    {key: value for key, value in config.items() if value is not None},
    "../workflows/schemas/config.schema.json",
    set_default=False,
)
validate(
    pandas.DataFrame([row.model_dump() for row in SAMPLES]),
    "../workflows/schemas/samples.schema.json",
    set_default=False,
)


wildcard_constraints:
    sample=one_of(PLAN.samples),
    model=one_of(PLAN.models),
    fold=one_of(PLAN.folds),


OUT = PLAN.out
SETTINGS = [expand(RUN.train.settings)] if RUN.train.settings else []
GENES = RUN.enhance.genes
GENES_FILE = [] if GENES in ("measured", "all") else [expand(GENES)]
REFINE_FOLDS = {name for name, plan in PLAN.folds.items() if plan.task == "refine"}

# What the options of two rules have in common.
REFERENCE_FLAGS = each("reference", PLAN.reference)
TRAIN_FLAGS = flags(
    preset=RUN.train.preset,
    max_steps=RUN.train.max_steps,
    config=SETTINGS[0] if SETTINGS else None,
    device=RUN.train.device,
    seed=RUN.seed,
)
ENCODER_FLAGS = PLAN.encoder_options()
ENHANCE_FLAGS = flags(
    samples=RUN.enhance.samples, device=RUN.enhance.device, seed=RUN.seed
)
ADAPT_FLAG = flags(adapt=RUN.enhance.adapt)


def with_retries(mem_mb):
    """Memory that grows with every retry; the profile says how many there are."""
    return lambda wildcards, attempt: attempt * mem_mb


def raw_of(wildcards):
    row = PLAN.samples[wildcards.sample]
    return [row.path] + [file for file in (row.image, row.align, row.landmarks) if file]


def preprocess_flags(wildcards):
    row = PLAN.samples[wildcards.sample]
    given = flags(
        platform=row.platform,
        image=row.image,
        mpp=row.mpp,
        bin_um=row.bin_um,
        region=row.region,
        table=row.table,
        align=row.align,
        align_from=row.align_from,
        landmarks=row.landmarks,
        orient=row.orient,
        shift_um=row.shift_um,
        step_um=RUN.preprocess.step_um,
        organ=row.organ,
        species=row.species,
        register=row.register_image,
    )
    return f"{given} {ENCODER_FLAGS}"


def training_of_sample(wildcards):
    return [PLAN.sample(name) for name in PLAN.training_of(wildcards.sample)]


def holdout_flags(wildcards):
    plan = PLAN.folds[wildcards.fold]
    seed = RUN.seed if plan.fold.seed is None else plan.fold.seed
    return f"{plan.options()} --seed {seed}"


def fold_mode(wildcards):
    histology = PLAN.folds[wildcards.fold].task == "histology"
    return "--histology-only" if histology else ADAPT_FLAG


def refine_flags(refined, resolution_um):
    return flags(resolution_um=resolution_um, refined=refined[0]) if refined else ""
