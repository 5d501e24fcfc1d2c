rule report_sample:
    input:
        enhanced=PLAN.enhanced("{sample}"),
        refined=PLAN.refined("{sample}"),
        scores=of_sample(PLAN.scores_of),
        analyses=of_sample(PLAN.analyses.made_for),
        sample=PLAN.sample("{sample}"),
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
        mem_mb=RESOURCES.mem_mb("report", "sample"),
        runtime=RESOURCES.runtime("report", "sample"),
    params:
        stage_version=3,
        scores=of_sample(flags_of("scores", PLAN.scores_of)),
        analyses=of_sample(flags_of("analysis", PLAN.analyses.of_sample)),
    shell:
        "focus report {input.enhanced:q} {input.refined:q} --sample {input.sample:q} --out {output:q}"
        " {params.scores} {params.analyses} > {log:q} 2>&1"


if RUN.report.together:

    rule report_of_all:
        input:
            enhanced=[PLAN.enhanced(name) for name in PLAN.samples],
            analyses=[
                path for name in PLAN.samples for path in PLAN.analyses.made_for(name)
            ],
        output:
            report(
                PLAN.report_of_all,
                category="Samples",
                caption="../workflows/report/sample.rst",
            ),
        log:
            f"{OUT}/logs/report_of_all.log",
        benchmark:
            f"{OUT}/benchmarks/report_of_all.tsv"
        conda:
            "../workflows/envs/focus.yaml"
        threads: RUN.report.threads
        resources:
            mem_mb=RESOURCES.of_all("report"),
            runtime=60,
        params:
            stage_version=1,
            analyses=each(
                "analysis",
                [
                    path
                    for name in PLAN.samples
                    for path in PLAN.analyses.of_sample(name)
                ],
            ),
        shell:
            "focus report {input.enhanced:q} --out {output:q} {params.analyses} > {log:q} 2>&1"
