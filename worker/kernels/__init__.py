"""Kernels in C++ for one linear at a time, and their PyTorch twins."""
