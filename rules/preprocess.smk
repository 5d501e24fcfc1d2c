rule preprocess:
    input:
        raw_of,
        encoder=PLAN.encoder_files,
    output:
        directory(PLAN.sample("{sample}")),
    log:
        f"{OUT}/logs/preprocess/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/preprocess/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.preprocess.threads
    resources:
        mem_mb=with_retries(RUN.preprocess.mem_mb),
        runtime=RUN.preprocess.runtime,
        gpu=RUN.preprocess.gpu,
    params:
        stage_version=2,
        raw=lambda wildcards, input: input[0],
        flags=preprocess_flags,
    shell:
        "focus preprocess {params.raw:q} --out {output:q} --sample {wildcards.sample} {params.flags}"
        " > {log:q} 2>&1"
