"""The decoder, its families, weights, attention and KV tensors."""
