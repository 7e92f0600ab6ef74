"""Picture files to pixels and tensors, exports from the Hugging Face hub, and the painter."""
