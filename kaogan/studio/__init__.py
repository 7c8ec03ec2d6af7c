"""``kaogan studio``: making, measuring and training with a mouse, in a page served on this machine."""
