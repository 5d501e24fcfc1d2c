# The benchmark: sections → hold-outs → models → estimates, ablations, peers → scores.
#
#   focus benchmark config/benchmark.yaml          (prints the snakemake command that it runs)
#
# What it consists of is decided in focus_cli/workflow/benchmark/plan.py.

import os

from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

from focus_cli.workflow.benchmark.config import check_benchmark
from focus_cli.workflow.benchmark.plan import BenchmarkPlan
from focus_cli.core.errors import FocusError
from focus_cli.workflow.shell import each, one_of, use_this_environment

min_version("9.0")
use_this_environment()

PEERS_PYTHON = os.environ.get("FOCUS_PEERS", "")
PEERS_RUN = os.path.join(workflow.basedir, "..", "benchmarks", "peers", "run.py")

try:
    PLAN = BenchmarkPlan(check_benchmark(config), with_peers=bool(PEERS_PYTHON))
except FocusError as error:
    raise WorkflowError(error.message) from None

OUT = PLAN.out
THREADS = PLAN.config.threads
CASE = f"{OUT}/cases/{{case}}"
REFINING = {name for name in PLAN.cases if PLAN.refines(name)}
OWN_MODEL = {name for name, case in PLAN.cases.items() if case.train}


wildcard_constraints:
    raw=one_of(PLAN.raw),
    part=one_of(PLAN.derived),
    reference=one_of(PLAN.config.references),
    model=one_of(PLAN.config.models),
    case=one_of(PLAN.cases),


localrules:
    all,
    gather,


rule all:
    default_target: True
    input:
        f"{OUT}/report.md",


rule section:
    input:
        lambda wildcards: PLAN.raw_input(wildcards.raw),
    output:
        directory(f"{OUT}/sections/{{raw}}"),
    log:
        f"{OUT}/logs/sections/{{raw}}.log",
    threads: 1
    params:
        raw=lambda wildcards, input: input[0],
        flags=lambda wildcards: PLAN.preprocess_flags(wildcards.raw),
    shell:
        "focus preprocess {params.raw:q} --out {output:q} --sample {wildcards.raw} {params.flags} > {log:q} 2>&1"


rule part:
    input:
        lambda wildcards: PLAN.section(PLAN.derived[wildcards.part].of),
    output:
        sample=directory(f"{OUT}/parts/{{part}}"),
        rest=f"{OUT}/parts/{{part}}.rest.h5ad",
    log:
        f"{OUT}/logs/parts/{{part}}.log",
    threads: 1
    params:
        flags=lambda wildcards: PLAN.derive_flags(wildcards.part),
    shell:
        "focus holdout {input:q} --out {output.sample:q} --truth {output.rest:q} {params.flags} > {log:q} 2>&1"


rule reference:
    input:
        lambda wildcards: PLAN.reference_input(wildcards.reference),
    output:
        directory(f"{OUT}/references/{{reference}}"),
    log:
        f"{OUT}/logs/references/{{reference}}.log",
    threads: 1
    params:
        flags=lambda wildcards: PLAN.reference_flags(wildcards.reference),
    shell:
        "focus reference {input:q} --out {output:q} {params.flags} > {log:q} 2>&1"


rule hold_out:
    input:
        sample=lambda wildcards: PLAN.section(PLAN.cases[wildcards.case].section),
        reference=lambda wildcards: PLAN.reference(PLAN.cases[wildcards.case].reference),
    output:
        observed=directory(f"{CASE}/observed"),
        truth=f"{CASE}/truth.h5ad",
        genes=f"{CASE}/genes.txt",
    log:
        f"{OUT}/logs/hold_out/{{case}}.log",
    threads: 1
    params:
        flags=lambda wildcards: PLAN.holdout_flags(wildcards.case),
        reference=lambda wildcards, input: each("reference", input.reference),
    shell:
        "( focus holdout {input.sample:q} --out {output.observed:q} --truth {output.truth:q} {params.flags}"
        " {params.reference} && python -P -m focus_cli.cli.workflow_steps genes {output.truth:q} --out {output.genes:q} )"
        " > {log:q} 2>&1"


rule train_shared:
    input:
        samples=lambda wildcards: [
            PLAN.section(name) for name in PLAN.config.models[wildcards.model].train
        ],
        reference=lambda wildcards: PLAN.reference(
            PLAN.config.models[wildcards.model].reference
        ),
    output:
        directory(f"{OUT}/models/{{model}}"),
    log:
        f"{OUT}/logs/train/{{model}}.log",
    threads: THREADS
    params:
        flags=PLAN.train_flags(),
        reference=lambda wildcards, input: each("reference", input.reference),
    shell:
        "OMP_NUM_THREADS={threads} focus train {input.samples:q} --out {output:q} {params.flags} {params.reference}"
        " > {log:q} 2>&1"


rule train_case:
    input:
        samples=lambda wildcards: PLAN.training_of(wildcards.case),
        reference=lambda wildcards: PLAN.reference(PLAN.cases[wildcards.case].reference),
    output:
        directory(f"{CASE}/model"),
    log:
        f"{OUT}/logs/train_case/{{case}}.log",
    wildcard_constraints:
        case=one_of(OWN_MODEL),
    threads: THREADS
    params:
        flags=PLAN.train_flags(),
        reference=lambda wildcards, input: each("reference", input.reference),
    shell:
        "OMP_NUM_THREADS={threads} focus train {input.samples:q} --out {output:q} {params.flags} {params.reference}"
        " > {log:q} 2>&1"


rule enhance:
    input:
        sample=f"{CASE}/observed",
        model=lambda wildcards: PLAN.model_of(wildcards.case),
        genes=f"{CASE}/genes.txt",
        reference=lambda wildcards: PLAN.reference(PLAN.cases[wildcards.case].reference),
    output:
        enhanced=f"{CASE}/enhanced.h5ad",
    log:
        f"{OUT}/logs/enhance/{{case}}.log",
    wildcard_constraints:
        case=one_of(set(PLAN.cases) - REFINING),
    threads: THREADS
    params:
        flags=lambda wildcards, output: PLAN.enhance_flags(wildcards.case, output[-1]),
        reference=lambda wildcards, input: each("reference", input.reference),
        extra="",
    shell:
        "OMP_NUM_THREADS={threads} focus enhance {input.sample:q} --model {input.model:q}"
        " --out {output.enhanced:q} --genes {input.genes:q} {params.flags} {params.reference} {params.extra}"
        " > {log:q} 2>&1"


use rule enhance as refine with:
    output:
        enhanced=f"{CASE}/enhanced.h5ad",
        refined=f"{CASE}/refined.h5ad",
    log:
        f"{OUT}/logs/refine/{{case}}.log",
    wildcard_constraints:
        case=one_of(REFINING),


use rule enhance as ablate with:
    output:
        enhanced=f"{CASE}/ablations/{{signal}}_{{way}}.h5ad",
    log:
        f"{OUT}/logs/ablate/{{case}}.{{signal}}_{{way}}.log",
    wildcard_constraints:
        case=one_of(set(PLAN.cases) - REFINING),
        signal=one_of(PLAN.signals),
        way=one_of(PLAN.ways),
    params:
        flags=lambda wildcards, output: PLAN.enhance_flags(wildcards.case, output[-1]),
        reference=lambda wildcards, input: each("reference", input.reference),
        extra=lambda wildcards: PLAN.ablate_flags(wildcards.signal, wildcards.way),


use rule ablate as ablate_refine with:
    output:
        enhanced=temp(f"{CASE}/ablations/{{signal}}_{{way}}.locations.h5ad"),
        refined=f"{CASE}/ablations/{{signal}}_{{way}}.h5ad",
    log:
        f"{OUT}/logs/ablate_refine/{{case}}.{{signal}}_{{way}}.log",
    wildcard_constraints:
        case=one_of(REFINING),
        signal=one_of(PLAN.signals),
        way=one_of(PLAN.ways),


# Peers live in an environment of their own: FOCUS_PEERS is its Python. See benchmarks/peers/README.md.
rule peer:
    input:
        sample=f"{CASE}/observed",
        genes=f"{CASE}/genes.txt",
        reference=lambda wildcards: PLAN.reference(PLAN.cases[wildcards.case].reference),
    output:
        f"{CASE}/peers/{{peer}}.h5ad",
    log:
        f"{OUT}/logs/peers/{{case}}.{{peer}}.log",
    threads: THREADS
    params:
        reference=lambda wildcards, input: each("reference", input.reference),
        seed=PLAN.config.seed,
    shell:
        "OMP_NUM_THREADS={threads} {PEERS_PYTHON:q} {PEERS_RUN:q} {wildcards.peer} --observed {input.sample:q}"
        " --genes {input.genes:q} --out {output:q} --seed {params.seed} {params.reference} > {log:q} 2>&1"


rule score:
    input:
        enhanced=lambda wildcards: PLAN.scored_file(wildcards.case),
        truth=f"{CASE}/truth.h5ad",
        observed=f"{CASE}/observed",
        others=lambda wildcards: PLAN.others_of(wildcards.case),
        also=lambda wildcards: list(PLAN.also_of(wildcards.case).values()),
        reference=lambda wildcards: PLAN.reference(PLAN.cases[wildcards.case].reference),
    output:
        directory(f"{CASE}/scores"),
    log:
        f"{OUT}/logs/score/{{case}}.log",
    threads: THREADS
    params:
        flags=lambda wildcards: PLAN.evaluate_flags(wildcards.case),
        reference=lambda wildcards, input: each("reference", input.reference),
    shell:
        "OMP_NUM_THREADS={threads} focus evaluate {input.enhanced:q} --truth {input.truth:q}"
        " --observed {input.observed:q} --out {output:q} {params.flags} {params.reference} > {log:q} 2>&1"


rule gather:
    input:
        PLAN.scores,
    output:
        f"{OUT}/report.md",
    log:
        f"{OUT}/logs/gather.log",
    threads: 1
    params:
        config=lambda wildcards: PLAN.config.model_dump_json(),
    shell:
        "python -P -m focus_cli.cli.workflow_steps benchmark {params.config:q} --out {OUT:q} > {log:q} 2>&1"
