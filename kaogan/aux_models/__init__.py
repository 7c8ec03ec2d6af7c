"""Trained networks that come with kaogan: face detector, tagger, upscaler."""
