rule patterns:
    input:
        PLAN.enhanced("{sample}"),
    output:
        PLAN.answers.answer("patterns", "{sample}"),
    log:
        f"{OUT}/logs/patterns/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/patterns/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.patterns.threads
    resources:
        mem_mb=ASK.mem_mb("patterns", "sample"),
        runtime=ASK.runtime("patterns", "sample"),
    params:
        stage_version=1,
        flags=flags(seed=RUN.seed),
    shell:
        "focus patterns {input:q} --out {output:q} {params.flags} > {log:q} 2>&1"
