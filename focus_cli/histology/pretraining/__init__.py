"""Self-supervised pretraining of a vision transformer on tiles of slides: self-distillation with masked images."""
