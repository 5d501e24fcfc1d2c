rule why:
    input:
        sample=PLAN.sample("{sample}"),
        model=of_sample(PLAN.model_of),
        reference=SAMPLE_REFERENCE,
    output:
        PLAN.analyses.result("why", "{sample}"),
    log:
        f"{OUT}/logs/why/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/why/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.why.threads
    resources:
        mem_mb=RESOURCES.mem_mb("why", "sample"),
        runtime=RESOURCES.runtime("why", "sample"),
    params:
        stage_version=1,
        reference=SAMPLE_REFERENCE_FLAGS,
        genes=each("gene", RUN.why.genes),
    shell:
        "focus why {input.sample:q} --model {input.model:q} --out {output:q}"
        " {params.genes} {params.reference} > {log:q} 2>&1"
