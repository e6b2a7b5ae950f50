"""The networks as PyTorch modules: tensors in, tensors out."""
