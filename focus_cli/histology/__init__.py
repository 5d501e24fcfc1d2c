"""Slides, tissue, stains, image features, encoders and their pretraining, nuclei."""
