"""Networks that are trained here: the training contract, the loop, and checkpoints."""
