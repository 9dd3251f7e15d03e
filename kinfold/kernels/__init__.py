"""Compiled kernels: arrays in, arrays out. The faces above them validate and allocate."""
