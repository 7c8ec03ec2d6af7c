"""Few-shot adaptation: a trained generator learns the style of 10 to 1,000 pictures, by an ordinary training.

``recipe.py`` derives the recipe, ``run.py`` trains and keeps the best model, ``report.py`` writes the page about it.
"""
