rule preprocess:
    input:
        raw=of_sample(lambda name: PLAN.samples[name].path),
        beside=of_sample(files_beside),
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
        mem_mb=RESOURCES.mem_mb("preprocess", "sample"),
        runtime=RESOURCES.runtime("preprocess", "sample"),
        gpu=RUN.preprocess.gpu,
    params:
        stage_version=2,
        flags=of_sample(preprocess_flags),
    shell:
        "focus preprocess {input.raw:q} --out {output:q} --sample {wildcards.sample} {params.flags}"
        " > {log:q} 2>&1"
