"""Pretrained networks whose activations are compared by losses and metrics."""
