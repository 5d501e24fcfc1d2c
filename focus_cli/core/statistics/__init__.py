"""Distributions, resampling, thinning and pooling of counts."""

FDR = 0.05  # false discovery rate at which a test is said to have found something
