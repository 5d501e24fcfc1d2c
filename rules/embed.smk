rule embed:
    input:
        sample=PLAN.sample("{sample}"),
        model=of_sample(PLAN.model_of),
        reference=SAMPLE_REFERENCE,
    output:
        PLAN.analyses.embedding("{sample}"),
    log:
        f"{OUT}/logs/embed/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/embed/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.embed.threads
    resources:
        mem_mb=RESOURCES.mem_mb("embed", "sample"),
        runtime=RESOURCES.runtime("embed", "sample"),
        gpu=RUN.embed.gpu,
    params:
        stage_version=1,
        reference=SAMPLE_REFERENCE_FLAGS,
        flags=flags(
            mode=RUN.embed.mode,
            samples=RUN.embed.samples,
            device=RUN.embed.device,
            seed=RUN.seed,
        ),
    shell:
        "focus embed {input.sample:q} --model {input.model:q} --out {output:q}"
        " {params.reference} {params.flags} > {log:q} 2>&1"
