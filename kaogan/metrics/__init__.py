"""Metrics, one file each, listed in ``registry.py`` (METRICS): pure functions of arrays, and the feature extractors."""
