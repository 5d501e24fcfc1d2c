rule enhance:
    input:
        sample=PLAN.sample("{sample}"),
        model=lambda wildcards: PLAN.model_of(wildcards.sample),
        reference=PLAN.reference,
        genes=GENES_FILE,
    output:
        enhanced=PLAN.enhanced("{sample}"),
        refined=PLAN.refined("{sample}"),
    log:
        f"{OUT}/logs/enhance/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/enhance/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.enhance.threads
    resources:
        mem_mb=with_retries(RUN.enhance.mem_mb),
        runtime=RUN.enhance.runtime,
        gpu=RUN.enhance.gpu,
    params:
        stage_version=4,
        flags=f"{REFERENCE_FLAGS} {ENHANCE_FLAGS} {ADAPT_FLAG}",
        genes=flags(
            genes=GENES_FILE[0] if GENES_FILE else GENES, layers=RUN.enhance.layers
        ),
        refine=lambda wildcards, output: refine_flags(
            output.refined, RUN.enhance.resolution_um
        ),
    shell:
        "focus enhance {input.sample:q} --model {input.model:q} --out {output.enhanced:q}"
        " {params.genes} {params.refine} {params.flags} > {log:q} 2>&1"


rule enhance_fold:
    input:
        sample=f"{OUT}/folds/{{fold}}/observed",
        model=f"{OUT}/folds/{{fold}}/model",
        genes=f"{OUT}/folds/{{fold}}/genes.txt",
        reference=PLAN.reference,
    output:
        enhanced=f"{OUT}/folds/{{fold}}/enhanced.h5ad",
    log:
        f"{OUT}/logs/enhance_fold/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/enhance_fold/{{fold}}.tsv"
    wildcard_constraints:
        fold=one_of(set(PLAN.folds) - REFINE_FOLDS),
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.enhance.threads
    resources:
        mem_mb=with_retries(RUN.enhance.mem_mb),
        runtime=RUN.enhance.runtime,
        gpu=RUN.enhance.gpu,
    params:
        stage_version=4,
        flags=f"{REFERENCE_FLAGS} {ENHANCE_FLAGS}",
        mode=fold_mode,
    shell:
        "focus enhance {input.sample:q} --model {input.model:q} --out {output.enhanced:q}"
        " --genes {input.genes:q} {params.mode} {params.flags} > {log:q} 2>&1"


use rule enhance_fold as refine_fold with:
    output:
        enhanced=f"{OUT}/folds/{{fold}}/enhanced.h5ad",
        refined=f"{OUT}/folds/{{fold}}/refined.h5ad",
    log:
        f"{OUT}/logs/refine_fold/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/refine_fold/{{fold}}.tsv"
    wildcard_constraints:
        fold=one_of(REFINE_FOLDS),
    params:
        stage_version=4,
        flags=f"{REFERENCE_FLAGS} {ENHANCE_FLAGS} {ADAPT_FLAG}",
        mode=lambda wildcards, output: refine_flags(
            [output.refined], PLAN.folds[wildcards.fold].truth_bin_um
        ),
