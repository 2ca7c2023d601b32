"""What `benchmarks.peers` is made of; `run_*` and `convert_*` run in the peers' environments."""
