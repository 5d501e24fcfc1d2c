if RUN.annotate.labels:

    rule fit_annotations:
        input:
            embeddings=of_cohort(PLAN.analyses.training_embeddings_of),
            labels=PLAN.files["annotate.labels"],
        output:
            directory(PLAN.analyses.head("annotations", "{model}")),
        log:
            f"{OUT}/logs/fit_annotations/{{model}}.log",
        benchmark:
            f"{OUT}/benchmarks/fit_annotations/{{model}}.tsv"
        conda:
            "../workflows/envs/focus.yaml"
        threads: RUN.annotate.threads
        resources:
            mem_mb=RESOURCES.mem_mb("fit_annotations", "model"),
            runtime=RESOURCES.runtime("fit_annotations", "model"),
        params:
            stage_version=1,
            flags=flags(
                against_rest=RUN.annotate.against_rest,
                leave_out=RUN.annotate.leave_out,
                seed=RUN.seed,
            ),
            ignore=each("ignore", RUN.annotate.ignore),
        shell:
            "focus annotate fit {input.embeddings:q} --labels {input.labels:q} --out {output:q}"
            " {params.flags} {params.ignore} > {log:q} 2>&1"


rule annotate:
    input:
        embedding=PLAN.analyses.embedding("{sample}"),
        head=of_sample(PLAN.analyses.head_of("annotations")),
    output:
        PLAN.analyses.result("annotations", "{sample}"),
    log:
        f"{OUT}/logs/annotate/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/annotate/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.annotate.threads
    resources:
        mem_mb=RESOURCES.mem_mb("annotate", "sample"),
        runtime=RESOURCES.runtime("annotate", "sample"),
    params:
        stage_version=1,
    shell:
        "focus annotate apply {input.embedding:q} --head {input.head:q} --out {output:q} > {log:q} 2>&1"
