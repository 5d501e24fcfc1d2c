# Domains of all samples of a model are found together, so that they mean the same in each.
rule domains:
    input:
        of_cohort(PLAN.analyses.divided_into_domains),
    output:
        directory(PLAN.analyses.folder("domains", "{model}")),
    log:
        f"{OUT}/logs/domains/{{model}}.log",
    benchmark:
        f"{OUT}/benchmarks/domains/{{model}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.domains.threads
    resources:
        mem_mb=RESOURCES.mem_mb("domains", "model"),
        runtime=RESOURCES.runtime("domains", "model"),
    params:
        stage_version=1,
        flags=flags(
            n_domains=RUN.domains.n_domains,
            ignore_depth=RUN.domains.ignore_depth,
            seed=RUN.seed,
        ),
    shell:
        "focus domains {input:q} --out {output:q} {params.flags} > {log:q} 2>&1"
