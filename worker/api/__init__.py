"""Wire to engine request, tokens to wire. Nothing here knows tensors."""
