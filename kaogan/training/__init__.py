"""Training of generators and upscalers: loop, steps, state, data order, run folder."""
