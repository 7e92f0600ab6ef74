"""Colours, fields, strokes and regions that several paintings use."""
