"""The benchmark: which parts of which sections are hidden, who predicts them, and what comes of it."""
