rule score_fold:
    input:
        enhanced=of_fold(PLAN.scored_file_of),
        truth=PLAN.fold_file("{fold}", "truth.h5ad"),
        observed=PLAN.fold_file("{fold}", "observed"),
        training=of_fold(PLAN.training_of_fold),
        reference=FOLD_REFERENCE,
    output:
        directory(PLAN.scores_of_fold("{fold}")),
    log:
        f"{OUT}/logs/score_fold/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/score_fold/{{fold}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.evaluate.threads
    resources:
        mem_mb=RESOURCES.mem_mb("score_fold", "fold"),
        runtime=RESOURCES.runtime("score_fold", "fold"),
    params:
        stage_version=2,
        training=of_fold(flags_of("training", PLAN.training_of_fold)),
        reference=FOLD_REFERENCE_FLAGS,
        seed=RUN.seed,
    shell:
        "focus evaluate {input.enhanced:q} --truth {input.truth:q} --observed {input.observed:q}"
        " --out {output:q} {params.training} {params.reference} --seed {params.seed} > {log:q} 2>&1"


# A sample with a known truth: its enhanced file is scored against it.
rule score_truth:
    input:
        enhanced=PLAN.enhanced("{sample}"),
        truth=of_sample(lambda name: PLAN.samples[name].truth or []),
        observed=PLAN.sample("{sample}"),
        training=of_sample(training_of_sample),
        reference=SAMPLE_REFERENCE,
    output:
        directory(f"{OUT}/scores/{{sample}}.truth"),
    log:
        f"{OUT}/logs/score_truth/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/score_truth/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.evaluate.threads
    resources:
        mem_mb=RESOURCES.mem_mb("score", "sample"),
        runtime=RESOURCES.runtime("score", "sample"),
    params:
        stage_version=2,
        training=of_sample(flags_of("training", training_of_sample)),
        reference=SAMPLE_REFERENCE_FLAGS,
        seed=RUN.seed,
    shell:
        "focus evaluate {input.enhanced:q} --truth {input.truth:q} --observed {input.observed:q}"
        " --out {output:q} {params.training} {params.reference} --seed {params.seed} > {log:q} 2>&1"


use rule score_truth as score_truth_fine with:
    input:
        enhanced=PLAN.refined("{sample}"),
        truth=of_sample(lambda name: PLAN.samples[name].truth_fine or []),
        observed=PLAN.sample("{sample}"),
        training=of_sample(training_of_sample),
        reference=SAMPLE_REFERENCE,
    output:
        directory(f"{OUT}/scores/{{sample}}.truth_fine"),
    log:
        f"{OUT}/logs/score_truth_fine/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/score_truth_fine/{{sample}}.tsv"


rule gather_scores:
    input:
        PLAN.scores,
    output:
        report(PLAN.table, category="Scores", caption="../workflows/report/scores.rst"),
    log:
        f"{OUT}/logs/gather_scores.log",
    benchmark:
        f"{OUT}/benchmarks/gather_scores.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        stage_version=2,
    shell:
        "python -P -m focus_cli.cli.workflow_steps gather {input:q} --out {output:q} > {log:q} 2>&1"
