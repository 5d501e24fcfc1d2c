rule interactions:
    input:
        enhanced=PLAN.enhanced("{sample}"),
        pairs=PLAN.files["interactions.pairs"],
        tested_with=of_sample(PLAN.analyses.tested_with),
        reference=SAMPLE_REFERENCE,
    output:
        PLAN.analyses.result("interactions", "{sample}"),
    log:
        f"{OUT}/logs/interactions/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/interactions/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.interactions.threads
    resources:
        mem_mb=RESOURCES.mem_mb("interactions", "sample"),
        runtime=RESOURCES.runtime("interactions", "sample"),
    params:
        stage_version=1,
        flags=flags(seed=RUN.seed),
        tests=of_sample(flags_of_tests),
    shell:
        "focus interactions {input.enhanced:q} --pairs {input.pairs:q} --out {output:q}"
        " {params.flags} {params.tests} > {log:q} 2>&1"
