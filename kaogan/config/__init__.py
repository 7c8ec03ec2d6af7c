"""Recipes: the typed tree of settings, the published recipes, and how both are read."""
