"""The commands of ``tinycnn``, one a file: docstring (its help), ``add_arguments(parser)``, ``run(options) -> int``."""
