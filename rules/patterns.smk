rule patterns:
    input:
        enhanced=PLAN.enhanced("{sample}"),
        tested_with=of_sample(PLAN.analyses.tested_with),
        reference=SAMPLE_REFERENCE,
        celltypes=of_sample(PLAN.analyses.celltypes_of),
    output:
        PLAN.analyses.result("patterns", "{sample}"),
    log:
        f"{OUT}/logs/patterns/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/patterns/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.patterns.threads
    resources:
        mem_mb=RESOURCES.mem_mb("patterns", "sample"),
        runtime=RESOURCES.runtime("patterns", "sample"),
    params:
        stage_version=1,
        flags=flags(seed=RUN.seed),
        tests=of_sample(flags_of_tests),
        celltypes=of_sample(flags_of("celltypes", PLAN.analyses.celltypes_of)),
    shell:
        "focus patterns {input.enhanced:q} --out {output:q}"
        " {params.flags} {params.tests} {params.celltypes} > {log:q} 2>&1"
