rule celltypes:
    input:
        enhanced=PLAN.enhanced("{sample}"),
        reference=SAMPLE_REFERENCE,
    output:
        PLAN.analyses.result("celltypes", "{sample}"),
    log:
        f"{OUT}/logs/celltypes/{{sample}}.log",
    benchmark:
        f"{OUT}/benchmarks/celltypes/{{sample}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.celltypes.threads
    resources:
        mem_mb=RESOURCES.mem_mb("celltypes", "sample"),
        runtime=RESOURCES.runtime("celltypes", "sample"),
    params:
        stage_version=1,
        flags=flags(
            unit=RUN.celltypes.unit,
            cells_per_location=RUN.celltypes.cells_per_location,
            same_platform=RUN.celltypes.same_platform,
            alone=RUN.celltypes.alone,
            seed=RUN.seed,
        ),
    shell:
        "focus celltypes {input.enhanced:q} --reference {input.reference:q} --out {output:q} {params.flags} > {log:q} 2>&1"
