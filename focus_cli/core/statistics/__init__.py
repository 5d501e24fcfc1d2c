"""Distributions, resampling, thinning and pooling of counts."""

FDR = 0.05  # false discovery rate at which a test counts as significant
