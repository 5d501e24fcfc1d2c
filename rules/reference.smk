rule build_reference:
    input:
        PLAN.reference_path or [],
    output:
        directory(f"{OUT}/reference"),
    log:
        f"{OUT}/logs/reference.log",
    benchmark:
        f"{OUT}/benchmarks/reference.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.reference.threads
    resources:
        mem_mb=with_retries(RUN.reference.mem_mb),
        runtime=RUN.reference.runtime,
    params:
        stage_version=1,
        flags=flags(cell_type=RUN.reference.cell_type),
    shell:
        "focus reference {input:q} --out {output:q} {params.flags} > {log:q} 2>&1"
