"""Tests of counts over tissue: neighbours, depth, moments, and states estimated without a gene."""

FDR = 0.05  # false discovery rate at which a test is said to have found something
