"""What is minimised: the paper's cross-entropies and what may be added to them."""
