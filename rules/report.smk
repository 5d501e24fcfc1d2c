rule report_sample:
    input:
        enhanced=PLAN.enhanced("{sample}"),
        refined=PLAN.refined("{sample}"),
        scores=lambda wildcards: PLAN.scores_of(wildcards.sample),
    output:
        report(
            PLAN.report("{sample}"),
            category="Samples",
            caption="../workflows/report/sample.rst",
        ),
    log:
        f"{OUT}/logs/report/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/report/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.report.threads
    resources:
        mem_mb=with_retries(RUN.report.mem_mb),
        runtime=RUN.report.runtime,
    params:
        stage_version=2,
        scores=lambda wildcards, input: each("scores", input.scores),
    shell:
        "focus report {input.enhanced:q} {input.refined:q} --out {output:q} {params.scores} > {log:q} 2>&1"
