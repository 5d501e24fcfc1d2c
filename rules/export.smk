# One rule for each format: a folder is declared with directory().


rule export_anndata:
    input:
        enhanced=PLAN.enhanced("{sample}"),
        analyses=of_sample(PLAN.analyses.made_for),
    output:
        PLAN.analyses.export("{sample}", "anndata"),
    log:
        f"{OUT}/logs/export_anndata/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/export_anndata/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.export.threads
    resources:
        mem_mb=RESOURCES.mem_mb("export", "sample"),
        runtime=RESOURCES.runtime("export", "sample"),
    params:
        stage_version=1,
        analyses=of_sample(PLAN.analyses.of_sample),
        kind="anndata",
    shell:
        "focus export {input.enhanced:q} {params.analyses:q} --to {params.kind} --out {output:q} > {log:q} 2>&1"


use rule export_anndata as export_spatialdata with:
    output:
        directory(PLAN.analyses.export("{sample}", "spatialdata")),
    log:
        f"{OUT}/logs/export_spatialdata/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/export_spatialdata/{{sample}}.tsv"
    params:
        stage_version=1,
        analyses=of_sample(PLAN.analyses.of_sample),
        kind="spatialdata",


use rule export_anndata as export_vitessce with:
    output:
        directory(PLAN.analyses.export("{sample}", "vitessce")),
    log:
        f"{OUT}/logs/export_vitessce/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/export_vitessce/{{sample}}.tsv"
    params:
        stage_version=1,
        analyses=of_sample(PLAN.analyses.of_sample),
        kind="vitessce",
