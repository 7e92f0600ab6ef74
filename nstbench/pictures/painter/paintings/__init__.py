"""One file per painted style."""
