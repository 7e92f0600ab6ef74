"""Records and facts that all packages use; this package imports no other one of nstbench."""
