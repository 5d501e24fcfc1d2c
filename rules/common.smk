# Shared by all rules: the checked configuration, the plan of the run, and look-ups in it.

from snakemake.exceptions import WorkflowError
from snakemake.utils import validate

from focus_cli.workflow.config import check_config, expand, table_files
from focus_cli.core.errors import FocusError
from focus_cli.workflow import manifest, progress_lines
from focus_cli.workflow.job_resources import JobResources
from focus_cli.workflow.run_lock import keep_alive, release
from focus_cli.workflow.cohort import begin_cohort, report_cohort
from focus_cli.workflow.clean_up import sweep
from focus_cli.workflow.plan import make_plan
from focus_cli.workflow.polling import select_on_events_alone
from focus_cli.workflow.retries import look_before_retrying
from focus_cli.workflow.shell import (
    ANY_NAME,
    by,
    each,
    flags,
    one_of,
    use_this_environment,
)

use_this_environment()
look_before_retrying()
progress_lines.prepare(workflow)

try:
    RUN = check_config(config)
    PLAN = make_plan(RUN)
except FocusError as error:
    raise WorkflowError(" — ".join(filter(None, (error.message, error.hint)))) from None

# The sheet was validated by the model that its schema is made from: once is enough for thousands of lines.
validate(
    {key: value for key, value in config.items() if value is not None},
    "../workflows/schemas/config.schema.json",
    set_default=False,
)


wildcard_constraints:
    sample=ANY_NAME,
    reference=ANY_NAME,
    model=ANY_NAME,
    fold=ANY_NAME,


OUT = PLAN.out
RESOURCES = JobResources(PLAN)
SETTINGS = [PLAN.files["train.settings"]] if RUN.train.settings else []
GENES = RUN.enhance.genes
GENES_FILE = [PLAN.files["enhance.genes"]] if "enhance.genes" in PLAN.files else []
REFINE_FOLDS = {name for name, plan in PLAN.folds.items() if plan.task == "refine"}
OTHER_FOLDS = set(PLAN.folds) - REFINE_FOLDS

# What the options of two rules have in common.
TRAIN_FLAGS = flags(
    preset=RUN.train.preset,
    max_steps=RUN.train.max_steps,
    config=SETTINGS[0] if SETTINGS else None,
    device=RUN.train.device,
    seed=RUN.seed,
    processes=RUN.train.processes if RUN.train.processes > 1 else None,
    nodes=RUN.train.nodes if RUN.train.nodes > 1 else None,
    resume_or_anew=True,
)
ENCODER_FLAGS = PLAN.encoder_options()
ENHANCE_FLAGS = flags(
    samples=RUN.enhance.samples, device=RUN.enhance.device, seed=RUN.seed
)
ADAPT_FLAG = flags(adapt=RUN.enhance.adapt)
REFINE_FLAG = flags(resolution_um=RUN.enhance.resolution_um)


def of_sample(value_of):
    """A value of a rule by its sample."""
    return by("sample", PLAN.samples, value_of)


def of_model(value_of):
    """A value of a rule by its model."""
    return by("model", PLAN.models, value_of)


def of_cohort(value_of):
    """A value of a rule by the model of all the samples that it enhances."""
    return by("model", PLAN.analyses.cohorts, value_of)


def of_fold(value_of, folds=PLAN.folds):
    """A value of a rule by its hold-out."""
    return by("fold", folds, value_of)


def files_beside(name):
    row = PLAN.samples[name]
    return [*filter(None, (row.image, row.align, row.landmarks)), *table_files(row)]


def preprocess_flags(name):
    row = PLAN.samples[name]
    given = flags(
        platform=row.platform,
        image=row.image,
        mpp=row.mpp,
        bin_um=row.bin_um,
        region=row.region,
        table=row.table,
        counts=row.counts,
        positions=row.positions,
        xy=row.xy,
        in_order=row.in_order,
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


def holdout_flags(name):
    plan = PLAN.folds[name]
    seed = RUN.seed if plan.fold.seed is None else plan.fold.seed
    return f"{plan.options()} --seed {seed}"


def fold_mode(name):
    histology = PLAN.folds[name].task == "histology"
    return "--histology-only" if histology else ADAPT_FLAG


def refined_bins(name):
    bins = flags(resolution_um=PLAN.folds[name].truth_bin_um)
    return f"{bins} {each('refined', [PLAN.fold_file(name, 'refined.h5ad')])}"


def training_of_sample(name):
    return [PLAN.sample(other) for other in PLAN.training_of(name)]


def flags_of(option, folders_of):
    """The same folders as options for the shell."""
    return lambda name: each(option, folders_of(name))


# References, as inputs and as options.
SAMPLE_REFERENCE = of_sample(PLAN.reference_of)
SAMPLE_REFERENCE_FLAGS = of_sample(flags_of("reference", PLAN.reference_of))
MODEL_REFERENCE = of_model(PLAN.reference_of_model)
MODEL_REFERENCE_FLAGS = of_model(flags_of("reference", PLAN.reference_of_model))
FOLD_REFERENCE = of_fold(PLAN.reference_of_fold)
FOLD_REFERENCE_FLAGS = of_fold(flags_of("reference", PLAN.reference_of_fold))


def flags_of_tests(name):
    """Options of tests that may use the estimate: the sample, a model not trained on it, and the reference."""
    given = PLAN.analyses.tested_with(name)
    if not given:
        return ""
    sample, model = given
    reference = each("reference", PLAN.reference_of(name))
    return f"{flags(sample=sample, model=model)} {reference}"


# Several nodes are one job that starts its own tasks: `mpi` keeps the executor from putting all of it into one task.
SEVERAL_NODES = (
    {
        "nodes": RUN.train.nodes,
        "tasks": RUN.train.nodes * RUN.train.processes,
        "tasks_per_gpu": 0,
        "mpi": "srun",
    }
    if RUN.train.nodes > 1
    else {}
)

# On a node of a cluster this process is one job: it records where it runs.
if not workflow.is_main_process:
    manifest.note_node(OUT)
