"""One module per verb: options and words only. Science is imported inside the function that needs it."""
