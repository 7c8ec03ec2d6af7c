"""Training of upscalers: crops, degradations, losses, the loop."""
