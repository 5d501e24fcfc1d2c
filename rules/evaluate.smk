rule score_fold:
    input:
        enhanced=lambda wildcards: PLAN.scored_file_of(wildcards.fold),
        truth=f"{OUT}/folds/{{fold}}/truth.h5ad",
        observed=f"{OUT}/folds/{{fold}}/observed",
        training=lambda wildcards: PLAN.training_of_fold(wildcards.fold),
        reference=PLAN.reference,
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
        mem_mb=with_retries(RUN.evaluate.mem_mb),
        runtime=RUN.evaluate.runtime,
    params:
        stage_version=2,
        training=lambda wildcards, input: each("training", input.training),
        flags=f"{REFERENCE_FLAGS} --seed {RUN.seed}",
    shell:
        "focus evaluate {input.enhanced:q} --truth {input.truth:q} --observed {input.observed:q}"
        " --out {output:q} {params.training} {params.flags} > {log:q} 2>&1"


# A sample whose truth is known: the file that the user gets, against it.
rule score_truth:
    input:
        enhanced=PLAN.enhanced("{sample}"),
        truth=lambda wildcards: PLAN.samples[wildcards.sample].truth,
        observed=PLAN.sample("{sample}"),
        training=training_of_sample,
        reference=PLAN.reference,
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
        mem_mb=with_retries(RUN.evaluate.mem_mb),
        runtime=RUN.evaluate.runtime,
    params:
        stage_version=2,
        training=lambda wildcards, input: each("training", input.training),
        flags=f"{REFERENCE_FLAGS} --seed {RUN.seed}",
    shell:
        "focus evaluate {input.enhanced:q} --truth {input.truth:q} --observed {input.observed:q}"
        " --out {output:q} {params.training} {params.flags} > {log:q} 2>&1"


use rule score_truth as score_truth_fine with:
    input:
        enhanced=PLAN.refined("{sample}"),
        truth=lambda wildcards: PLAN.samples[wildcards.sample].truth_fine,
        observed=PLAN.sample("{sample}"),
        training=training_of_sample,
        reference=PLAN.reference,
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
        mem_mb=500,
        runtime=10,
    params:
        stage_version=2,
    shell:
        "python -m focus_cli.workflow gather {input:q} --out {output:q} > {log:q} 2>&1"
