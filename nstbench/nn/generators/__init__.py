"""Networks that produce pictures."""
