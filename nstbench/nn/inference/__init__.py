"""Fast passes through trained networks on a GPU: replayed graphs, fused normalisations."""
