rule fit_outcome:
    input:
        embeddings=of_cohort(PLAN.analyses.training_embeddings_of),
        table=PLAN.files["outcome.table"],
    output:
        directory(PLAN.analyses.head("outcomes", "{model}")),
    log:
        f"{OUT}/logs/fit_outcome/{{model}}.log",
    benchmark:
        f"{OUT}/benchmarks/fit_outcome/{{model}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.outcome.threads
    resources:
        mem_mb=RESOURCES.mem_mb("fit_outcome", "model"),
        runtime=RESOURCES.runtime("fit_outcome", "model"),
    params:
        stage_version=1,
        flags=flags(
            outcome=RUN.outcome.response,
            positive=RUN.outcome.positive,
            time=RUN.outcome.time,
            event=RUN.outcome.event,
            covariates=",".join(RUN.outcome.covariates) or None,
            permutations=RUN.outcome.permutations,
            seed=RUN.seed,
        ),
    shell:
        "focus outcome fit {input.embeddings:q} --table {input.table:q} --out {output:q}"
        " {params.flags} > {log:q} 2>&1"


rule outcome:
    input:
        embeddings=of_cohort(PLAN.analyses.embeddings_of),
        head=PLAN.analyses.head("outcomes", "{model}"),
        # A head that was fitted on slides alone is applied to slides alone.
        table=PLAN.files["outcome.table"] if RUN.outcome.covariates else [],
    output:
        table=PLAN.analyses.outcomes("{model}"),
        attention=directory(PLAN.analyses.folder("attention", "{model}")),
    log:
        f"{OUT}/logs/outcome/{{model}}.log",
    benchmark:
        f"{OUT}/benchmarks/outcome/{{model}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.outcome.threads
    resources:
        mem_mb=RESOURCES.mem_mb("outcome", "model"),
        runtime=RESOURCES.runtime("outcome", "model"),
    params:
        stage_version=1,
        flags=flags(
            table=PLAN.files["outcome.table"] if RUN.outcome.covariates else None
        ),
    shell:
        "focus outcome apply {input.embeddings:q} --head {input.head:q} {params.flags}"
        " --out {output.table:q} --attention {output.attention:q} > {log:q} 2>&1"
