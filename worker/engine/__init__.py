"""Requests, scheduler, pages, sampler: one thread, plan -> forward -> choose -> commit."""
