rule build_reference:
    input:
        by("reference", PLAN.references, PLAN.references.get),
    output:
        directory(PLAN.reference("{reference}")),
    log:
        f"{OUT}/logs/reference/{{reference}}.log",
    benchmark:
        f"{OUT}/benchmarks/reference/{{reference}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.reference.threads
    resources:
        mem_mb=RESOURCES.mem_mb("reference", "reference"),
        runtime=RESOURCES.runtime("reference", "reference"),
    params:
        stage_version=1,
        flags=flags(cell_type=RUN.reference.cell_type),
    shell:
        "focus reference {input:q} --out {output:q} {params.flags} > {log:q} 2>&1"
