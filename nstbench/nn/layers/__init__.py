"""Layers, and chains of layers, that several networks use."""
