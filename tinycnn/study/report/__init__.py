"""A run's results as numbers, pictures, a model card and one page."""
