"""Spatial domains: which pieces of tissue are alike, over all samples of a cohort."""
