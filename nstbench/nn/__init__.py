"""Networks, losses and optimisers that plug-ins share, and their weights."""
