rule hold_out:
    input:
        sample=lambda wildcards: PLAN.sample(PLAN.folds[wildcards.fold].sample),
        reference=PLAN.reference,
    output:
        observed=directory(f"{OUT}/folds/{{fold}}/observed"),
        truth=f"{OUT}/folds/{{fold}}/truth.h5ad",
        genes=f"{OUT}/folds/{{fold}}/genes.txt",
    log:
        f"{OUT}/logs/hold_out/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/hold_out/{{fold}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.evaluate.threads
    resources:
        mem_mb=with_retries(RUN.evaluate.mem_mb),
        runtime=RUN.evaluate.runtime,
    params:
        stage_version=1,
        flags=lambda wildcards: f"{holdout_flags(wildcards)} {REFERENCE_FLAGS}",
    shell:
        "( focus holdout {input.sample:q} --out {output.observed:q} --truth {output.truth:q} {params.flags}"
        " && python -m focus_cli.workflow genes {output.truth:q} --out {output.genes:q} ) > {log:q} 2>&1"
