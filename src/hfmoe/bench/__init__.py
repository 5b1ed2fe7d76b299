"""Benchmarks of a model: time, memory and multiply-adds by form, size of input and effort."""
