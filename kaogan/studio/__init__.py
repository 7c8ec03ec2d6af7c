"""The studio: a page on this machine to make faces, evaluate and train (``kaogan studio``)."""
