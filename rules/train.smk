rule train:
    input:
        samples=lambda wildcards: [
            PLAN.sample(name) for name in PLAN.models[wildcards.model]
        ],
        reference=PLAN.reference,
        settings=SETTINGS,
    output:
        directory(PLAN.model("{model}")),
    log:
        f"{OUT}/logs/train/{{model}}.log",
    benchmark:
        f"{OUT}/benchmarks/train/{{model}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.train.threads
    resources:
        mem_mb=with_retries(RUN.train.mem_mb),
        runtime=RUN.train.runtime,
        gpu=RUN.train.gpu,
    params:
        stage_version=3,
        flags=f"{REFERENCE_FLAGS} {TRAIN_FLAGS}",
    shell:
        "focus train {input.samples:q} --out {output:q} {params.flags} > {log:q} 2>&1"


rule train_fold:
    input:
        samples=lambda wildcards: PLAN.training_of_fold(wildcards.fold),
        reference=PLAN.reference,
        settings=SETTINGS,
    output:
        directory(f"{OUT}/folds/{{fold}}/model"),
    log:
        f"{OUT}/logs/train_fold/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/train_fold/{{fold}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.train.threads
    resources:
        mem_mb=with_retries(RUN.train.mem_mb),
        runtime=RUN.train.runtime,
        gpu=RUN.train.gpu,
    params:
        stage_version=3,
        flags=f"{REFERENCE_FLAGS} {TRAIN_FLAGS}",
    shell:
        "focus train {input.samples:q} --out {output:q} {params.flags} > {log:q} 2>&1"
