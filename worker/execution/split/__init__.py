"""Linear layers on a GPU that is not trusted; all else stays in the TEE."""
