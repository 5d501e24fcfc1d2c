"""FOCUS: enhance spatial transcriptomics with histology, a single-cell reference and spatial priors."""

__version__ = "0.1.0"
