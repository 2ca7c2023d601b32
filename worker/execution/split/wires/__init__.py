"""One adapter a file: each has `connect(address, timeout_s)` and `listen(address, identity)`."""
