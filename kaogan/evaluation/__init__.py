"""Measuring and comparing models: metrics on sets of pictures, pages, leaderboards."""
