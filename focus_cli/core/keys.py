"""Every key and file name that FOCUS reads or writes, with its meaning and unit."""

# --- obs -----------------------------------------------------------------------------------------
IN_TISSUE = "in_tissue"  # 1 where the vendor states that the location lies on tissue
ARRAY_ROW = "array_row"  # row on the capture array
ARRAY_COL = "array_col"  # column on the capture array
TOTAL_COUNTS = "total_counts"  # counts over the measured panel
EXPOSURE = "exposure"  # total counts that X and mean_counts refer to: observed, else expected
OBS_RELIABILITY = "reliability"  # 0..1, reliability of the estimate of this location
OOD_SCORE = "ood_score"  # out-of-distribution score of the image; above 1 the tissue is unlike the training tissue
CELL_TYPE = "cell_type"  # most abundant cell type of a location; of a reference: type of a cell or of a cell state
CELL_TYPE_CONFIDENCE = "cell_type_confidence"  # 0..1
DOMAIN = "domain"  # tissue domain of the location
DOMAIN_CONFIDENCE = "domain_confidence"  # 0..1
DOMAIN_BOUNDARY = "domain_boundary"  # whether the location lies between domains
ANNOTATION = "annotation"  # label with the highest probability
ANNOTATION_CONFIDENCE = "annotation_confidence"  # its probability
ANNOTATION_ABSTAIN = "annotation_abstain"  # whether the tissue is unlike the training data, and no label is given
NICHE = "niche"  # cluster of locations with similar neighbours
PARENT = "parent"  # refined files: the measured location that covers (or is nearest to) this one

# --- var -----------------------------------------------------------------------------------------
GENE_ID = "gene_ids"  # Ensembl id where the vendor gives one (scanpy's own key)
SYMBOL = "gene_symbols"  # gene symbol as the vendor wrote it
FEATURE_TYPE = "feature_types"  # "Gene Expression", "Antibody Capture", … (scanpy's own key)
BASELINE = "focus_baseline"  # mean share of the gene, which share_link of latent · loadings is multiplied with
MEASURED = "measured"  # False for a gene outside the panel; its values are imputed
VAR_RELIABILITY = "reliability"  # 0..1, reliability of the estimate of this gene
LEVEL_SD = "level_sd"  # sd of the log of the gene's level, one factor for all locations; 0 for measured genes
NETWORK_WEIGHT = "network_weight"  # of the network beside the simple methods that are mixed with it; 1: it is alone
ABSTAIN = "abstain"  # obs and var: the estimate of this location or gene should not be used

# --- obsm ----------------------------------------------------------------------------------------
SPATIAL = "spatial"  # (x, y) in full-resolution pixels
SPATIAL_UM = "spatial_um"  # (x, y) in µm, the same origin and axes
LATENT = "focus_latent"  # posterior mean of the latent state
SAMPLE_FACTORS = "focus_sample_factors"  # scores of the sample-specific factors, which no other sample shares
STATE_ATTENTION = "focus_state_attention"  # weights over the reference's cell states, rows sum to 1; no cell numbers

LOCATION = "focus_location"  # representation of a location itself, in the space uns["focus"]["space"]
NEIGHBOURHOOD = "focus_neighbourhood"  # representation of the surroundings of a location, in the same space
TYPES = "cell_type_proportions"  # estimated share of each cell type, rows sum to 1
WHY_NEIGHBOURS = "why_neighbours"  # contribution of each location to the values uns["focus"]["pairs"], log2
ANNOTATION_PROBABILITY = "annotation_probability"  # calibrated probability of each label, rows sum to 1

# --- varm ----------------------------------------------------------------------------------------
LOADINGS = "focus_loadings"  # from a latent state, with the sample-specific factors last, to expression

# --- layers --------------------------------------------------------------------------------------
COUNTS = "counts"  # raw counts, unchanged
MEAN_COUNTS = "mean_counts"  # posterior mean of the counts at the location's own exposure
EXPRESSION = "expression"  # depth removed: log1p of 10,000 times the share of the counts
STD = "std"  # posterior standard deviation of X
DEFAULT_LAYERS = (MEAN_COUNTS, STD, "q05", "q95")  # of an enhanced file, beside X and the raw counts
ENHANCED_LAYERS = (*DEFAULT_LAYERS, EXPRESSION)  # those that can be requested

# --- uns -----------------------------------------------------------------------------------------
UNS = "focus"  # provenance and settings, JSON-safe
UNS_COLUMNS = "focus_columns"  # names of the columns of a table in obsm, where they are no keys of a store: T/NK
UNS_SPATIAL = "spatial"  # scanpy's images and scale factors, by library id

UNS_TRUTH = "focus_truth"  # task, scored genes and seed of a truth file
UNS_ANALYSES = "focus_analyses"  # exported files: records of the analyses, by kind
UNS_WHY = "focus_why"  # table of the parts of values at single locations: gene, location, signal, part
UNS_SLIDE = "focus_slide"  # representation of a whole slide or section, one vector

# --- files of a sample ---------------------------------------------------------------------------
SAMPLE_JSON = "sample.json"  # schema version, platform, scale, footprint, provenance
COUNTS_H5AD = "counts.h5ad"  # locations × genes, raw counts as CSR, positions, thumbnails
MORPHOLOGY_ZARR = "morphology.zarr"  # image features on a regular grid in µm
ENCODER_ZARR = "encoder.zarr"  # features of a learned image encoder, on their own grid
REGISTRATION_PNG = "registration.png"  # locations on a separate H&E image

# --- files of a corpus -----------------------------------------------------------------------------
CORPUS_JSON = "corpus.json"  # schema version; samples, panels and shards lie in folders beside it

# --- files of a reference ------------------------------------------------------------------------
REFERENCE_JSON = "reference.json"
CELLS_H5AD = "cells.h5ad"  # cells × genes, counts or count-like values as CSR
PROTOTYPES_H5AD = "prototypes.h5ad"  # cell states × genes, mean proportions

# --- files of a model ----------------------------------------------------------------------------
MODEL_JSON = "model.json"
WEIGHTS = "model.safetensors"
IMAGE_SPACE = "image.safetensors"  # axes of the image features of the model, and landmarks of its training tissue
TRAINING_LOG = "training.csv"

# --- files of an image encoder that was pretrained ---------------------------------------------
ENCODER_JSON = "encoder.json"  # sizes, scale, normalisation, licence, provenance

# --- files of an evaluation ------------------------------------------------------------------------
SCORES_TSV = "scores.tsv"  # one row for each method, the mean over genes
OUR_METHOD = "focus"  # its name there

# --- files of what comes after enhancement -------------------------------------------------------
HEAD_JSON = "head.json"  # fitted on labels or outcomes: classes, scores on held-out donors, provenance
HEAD_ARRAYS = "head.safetensors"
DOMAINS_JSON = "domains.json"  # how many domains were found in a cohort, and how; its samples lie beside it

# --- files of a prior, which a model holds too ---------------------------------------------------
PRIOR_JSON = "prior.json"  # gene names, and what the prior was fitted on
PRIOR_ARRAYS = "prior.safetensors"
FACTORS_TSV = "factors.tsv"  # the leading genes of every factor

# Scale of X: log1p of counts per this total.
TARGET_SUM = 10_000.0


def quantile_layer(q: float) -> str:
    """Name of the layer that holds quantile `q` of X, for instance ``q05`` for 0.05."""
    return f"q{round(q * 100):02d}"
