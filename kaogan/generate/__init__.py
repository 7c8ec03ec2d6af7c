"""Trained generators at work: model folders, sampling, grids, films, exploring."""
