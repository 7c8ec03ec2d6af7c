"""Speed and memory of kaogan against plain PyTorch: ``python -m benchmarks``."""
