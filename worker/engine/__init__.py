"""Requests, scheduler, pages, sampler: one thread, one loop, plan -> forward -> choose -> commit."""
