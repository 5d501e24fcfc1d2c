"""Distributions, resampling, thinning and pooling of counts."""
