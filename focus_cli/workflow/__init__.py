"""What the Snakefile and ``focus run`` need beside Snakemake: where things go, what follows from what."""
