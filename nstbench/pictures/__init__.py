"""Image files to pixels and tensors, data sets of hubs, and painted pictures."""
