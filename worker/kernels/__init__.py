"""Kernels in C++ for linears and attention, and their PyTorch twins."""
