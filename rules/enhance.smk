rule enhance:
    input:
        sample=PLAN.sample("{sample}"),
        model=of_sample(PLAN.model_of),
        reference=SAMPLE_REFERENCE,
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
        mem_mb=RESOURCES.mem_mb("enhance", "sample"),
        runtime=RESOURCES.runtime("enhance", "sample"),
        gpu=RUN.enhance.gpu,
    params:
        stage_version=4,
        reference=SAMPLE_REFERENCE_FLAGS,
        flags=f"{ENHANCE_FLAGS} {ADAPT_FLAG}",
        genes=flags(
            genes=GENES_FILE[0] if GENES_FILE else GENES, layers=RUN.enhance.layers
        ),
        refine=of_sample(
            lambda name: f"{REFINE_FLAG} {each('refined', PLAN.refined(name))}"
        ),
    shell:
        "focus enhance {input.sample:q} --model {input.model:q} --out {output.enhanced:q}"
        " {params.genes} {params.refine} {params.reference} {params.flags} > {log:q} 2>&1"


rule enhance_fold:
    input:
        sample=PLAN.fold_file("{fold}", "observed"),
        model=of_fold(PLAN.model_of_fold),
        genes=PLAN.fold_file("{fold}", "genes.txt"),
        reference=FOLD_REFERENCE,
    output:
        enhanced=PLAN.fold_file("{fold}", "enhanced.h5ad"),
    log:
        f"{OUT}/logs/enhance_fold/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/enhance_fold/{{fold}}.tsv"
    wildcard_constraints:
        fold=one_of(OTHER_FOLDS) if REFINE_FOLDS else ANY_NAME,
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.enhance.threads
    resources:
        mem_mb=RESOURCES.mem_mb("enhance_fold", "fold"),
        runtime=RESOURCES.runtime("enhance_fold", "fold"),
        gpu=RUN.enhance.gpu,
    params:
        stage_version=4,
        reference=FOLD_REFERENCE_FLAGS,
        flags=ENHANCE_FLAGS,
        mode=of_fold(fold_mode, OTHER_FOLDS),
    shell:
        "focus enhance {input.sample:q} --model {input.model:q} --out {output.enhanced:q}"
        " --genes {input.genes:q} {params.mode} {params.reference} {params.flags} > {log:q} 2>&1"


use rule enhance_fold as refine_fold with:
    output:
        enhanced=PLAN.fold_file("{fold}", "enhanced.h5ad"),
        refined=PLAN.fold_file("{fold}", "refined.h5ad"),
    log:
        f"{OUT}/logs/refine_fold/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/refine_fold/{{fold}}.tsv"
    wildcard_constraints:
        fold=one_of(REFINE_FOLDS),
    resources:
        mem_mb=RESOURCES.mem_mb("refine_fold", "fold"),
        runtime=RESOURCES.runtime("refine_fold", "fold"),
        gpu=RUN.enhance.gpu,
    params:
        stage_version=4,
        reference=FOLD_REFERENCE_FLAGS,
        flags=f"{ENHANCE_FLAGS} {ADAPT_FLAG}",
        mode=of_fold(refined_bins, REFINE_FOLDS),
