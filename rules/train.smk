# Each sample is packed separately: a sample that is added later does not affect the others.
rule pack:
    input:
        PLAN.sample("{sample}"),
    output:
        directory(PLAN.corpus("{sample}")),
    log:
        f"{OUT}/logs/pack/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/pack/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: 1
    resources:
        mem_mb=RESOURCES.mem_mb("pack", "sample"),
        runtime=RESOURCES.runtime("pack", "sample"),
    params:
        stage_version=1,
    shell:
        "focus corpus {input:q} --out {output:q} > {log:q} 2>&1"


rule train:
    input:
        samples=of_model(lambda name: PLAN.learnt_from(PLAN.models[name])),
        reference=MODEL_REFERENCE,
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
        **SEVERAL_NODES,
        mem_mb=RESOURCES.mem_mb("train", "model"),
        runtime=RESOURCES.runtime("train", "model"),
        gpu=RUN.train.gpu,
    params:
        stage_version=3,
        reference=MODEL_REFERENCE_FLAGS,
        flags=TRAIN_FLAGS,
    shell:
        "focus train {input.samples:q} --out {output:q} {params.reference} {params.flags} > {log:q} 2>&1"


rule train_fold:
    input:
        samples=of_fold(PLAN.learnt_from_by_fold),
        reference=FOLD_REFERENCE,
        settings=SETTINGS,
    output:
        directory(PLAN.fold_file("{fold}", "model")),
    log:
        f"{OUT}/logs/train_fold/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/train_fold/{{fold}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.train.threads
    resources:
        **SEVERAL_NODES,
        mem_mb=RESOURCES.mem_mb("train_fold", "fold"),
        runtime=RESOURCES.runtime("train_fold", "fold"),
        gpu=RUN.train.gpu,
    params:
        stage_version=3,
        reference=FOLD_REFERENCE_FLAGS,
        flags=TRAIN_FLAGS,
    shell:
        "focus train {input.samples:q} --out {output:q} {params.reference} {params.flags} > {log:q} 2>&1"
