"""What simple models know at a cut-off: the model's inputs and the baselines use these same objects."""
