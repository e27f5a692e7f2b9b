"""The chest X-ray study: its films, its recipe, its cross-validation, its reports."""
