rule hold_out:
    input:
        sample=of_fold(lambda name: PLAN.sample(PLAN.folds[name].sample)),
        reference=FOLD_REFERENCE,
    output:
        observed=directory(PLAN.fold_file("{fold}", "observed")),
        truth=PLAN.fold_file("{fold}", "truth.h5ad"),
        genes=PLAN.fold_file("{fold}", "genes.txt"),
    log:
        f"{OUT}/logs/hold_out/{{fold}}.log",
    benchmark:
        f"{OUT}/benchmarks/hold_out/{{fold}}.tsv"
    conda:
        "../workflows/envs/focus.yaml"
    threads: RUN.evaluate.threads
    resources:
        mem_mb=RESOURCES.mem_mb("hold_out", "fold"),
        runtime=RESOURCES.runtime("hold_out", "fold"),
    params:
        stage_version=1,
        reference=FOLD_REFERENCE_FLAGS,
        flags=of_fold(holdout_flags),
    shell:
        "( focus holdout {input.sample:q} --out {output.observed:q} --truth {output.truth:q} {params.flags}"
        " {params.reference} && python -P -m focus_cli.cli.workflow_steps genes {output.truth:q} --out {output.genes:q} )"
        " > {log:q} 2>&1"
