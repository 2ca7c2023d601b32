"""What `benchmarks.split` measures: columns, the servers behind them, a ledger of their calls."""
