"""One file a metric: pure functions of arrays, and the feature extractors before them."""
