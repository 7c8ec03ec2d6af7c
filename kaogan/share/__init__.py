"""Models for other programs and from them: export, and import of weights."""
