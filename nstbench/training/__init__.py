"""One training loop for every trainable method; see :mod:`nstbench.training.trainable` for its contract."""
