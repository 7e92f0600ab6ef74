"""One training loop for every trainable method; see :mod:`nstbench.trainable` for its contract."""
