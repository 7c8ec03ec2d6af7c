"""Feature networks for the projected discriminator: one module each, found by name through ``FEATURE_NETWORKS``."""
