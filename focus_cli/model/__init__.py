"""The network, its prior and conditioning, training, corpora and shipped checkpoints."""
