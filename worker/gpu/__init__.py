"""The GPU's side of split execution. It is outside all trust: it holds public weights alone."""
