"""Find, load and fingerprint plug-ins; run programs as methods."""
