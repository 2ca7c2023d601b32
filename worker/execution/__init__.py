"""Where a linear layer runs, and when its weights are in memory."""
