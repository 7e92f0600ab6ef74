"""Pictures made by another program: their sizes, and their copies in the run folder."""
