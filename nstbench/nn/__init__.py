"""Networks, losses and optimisers that several plug-ins use, and network weights."""
