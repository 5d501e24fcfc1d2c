"""What is found in enhanced samples: representations, domains, cell types, spatial statistics, predictions."""
