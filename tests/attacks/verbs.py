"""Every verb with the files that it reads: one command for each way in which a kind of file reaches a verb.

A command is a list of words; ``{name}`` is the path of that name in the world, ``{out}`` a place that does not exist.
"""

from __future__ import annotations

import string
from dataclasses import dataclass

# Verbs that read no file of ours or of the user's, with the reason; every other verb must be in COMMANDS.
WITHOUT_FILES = {
    "simulate": "makes its own data",
    "init": "copies what is installed",
    "doctor": "looks at the machine",
    "benchmark": "starts Snakemake in place of itself; its configuration is read as that of run",
    "run": "starts Snakemake in place of itself; see test_configurations",
}


@dataclass(frozen=True)
class Command:
    """A command line.

    Attributes
    ----------
    words
        As typed after ``focus``.
    """

    words: tuple[str, ...]

    @property
    def verb(self) -> str:
        """The first word."""
        return self.words[0]

    @property
    def reads(self) -> set[str]:
        """Names of the world that it reads."""
        found = {name for word in self.words for _, name, *_ in string.Formatter().parse(word) if name}
        return found - {"out"}


def _commands(text: str) -> tuple[Command, ...]:
    return tuple(Command(tuple(line.split())) for line in text.strip().splitlines())


COMMANDS = _commands("""
inspect {sample}
inspect {raw}
inspect {enhanced}
features {image} --encoder {encoder} --mpp 2 --out {out}.zarr --device cpu
features {image} --encoder {encoder_yaml} --mpp 2 --out {out}.zarr --device cpu
pretrain {sample} --out {out} --config {pretrain_settings} --max-steps 1 --init {encoder} --device cpu
nuclei {sample} --out {out}.parquet --region 0,0,60,60
preprocess {raw} --sample X --out {out} --no-image
preprocess {raw} --sample X --out {out} --step-um 64 --encoder {encoder} --device cpu
preprocess {raw} --sample X --out {out} --step-um 64 --image {image} --align {align}
preprocess {raw} --sample X --out {out} --step-um 64 --image {image} --landmarks {landmarks}
reference {cells} --out {out} --states 4 --max-cells 60 --gene-table {gene_table}
prior {sample} --factors 2 --out {out} --gene-sets {gene_sets} --reference {reference}
corpus {sample} --out {out}
corpus --out {corpus} --verify
train {sample} --out {out} --config {settings} --max-steps 1 --device cpu --reference {reference} --prior {prior}
train {corpus} --out {out} --config {settings} --max-steps 1 --device cpu
enhance {sample} --model {model} --reference {reference} --genes {genes} --out {out}.h5ad --device cpu
enhance {sample} --model {model} --genes measured --points {points} --refined {out}.fine.h5ad --out {out}.h5ad --device cpu
enhance {sample} --model {model} --genes measured --points {nuclei} --refined {out}.fine.h5ad --out {out}.h5ad --device cpu
enhance {encoded_sample} --model {encoder_model} --genes measured --out {out}.h5ad --device cpu
holdout {sample} --task denoise --out {out} --truth {out}.h5ad
holdout {sample} --task impute --genes-file {genes} --reference {reference} --out {out} --truth {out}.h5ad
evaluate {enhanced} --truth {truth} --observed {observed} --out {out}
embed {sample} --model {model} --out {out}.h5ad --device cpu
domains {enhanced} --n-domains 2 --out {out}
domains {embedding} --n-domains 2 --out {out}
celltypes {enhanced} --reference {reference} --max-genes 12 --alone --out {out}.h5ad
patterns {enhanced} --celltypes {celltypes} --out {out}.h5ad
interactions {enhanced} --pairs {pairs} --out {out}.h5ad
annotate fit {labelled} --labels {labels} --leave-out block --out {out}
annotate apply {labelled} --head {annotation_head} --out {out}.h5ad
outcome apply {slide} --head {outcome_mean} --table {clinical} --out {out}.tsv
outcome apply {slide} --head {outcome_attention} --out {out}.tsv --attention {out}
why {sample} --gene {gene} --model {model} --out {out}.h5ad --device cpu
export {enhanced} {celltypes} {domains_file} --to anndata --out {out}.h5ad
export {enhanced} --to vitessce --out {out}
report {enhanced} --viewer-mb 0 --analysis {celltypes} --analysis {patterns} --analysis {interactions} --analysis {domains_file} --analysis {why} --scores {scores} --sample {sample} --out {out}.html
genes {sample}
genes {genes} --reference {reference}
genes {cells}
explain {sample}
explain {reference}
explain {prior}
explain {model}
explain {corpus}
explain {encoder}
explain {features}
explain {annotation_head}
explain {outcome_mean}
explain {enhanced}
explain {embedding}
explain {celltypes}
explain {patterns}
explain {interactions}
explain {why}
explain {domains}
explain {truth}
explain {scores}
explain {report}
explain {nuclei}
explain {outcomes}
explain {annotation}
""")  # noqa: E501


def reading(name: str) -> list[Command]:
    """Commands that read the file or folder of this name."""
    return [command for command in COMMANDS if name in command.reads]
