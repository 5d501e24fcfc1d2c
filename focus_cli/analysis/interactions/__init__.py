"""Ligands and receptors that are expressed side by side more than their own patterns explain."""
