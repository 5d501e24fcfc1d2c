"""Tests of counted molecules over tissue: neighbours, depth, moments, and states that know nothing of a gene."""
