"""Lets every test file import the helpers in this folder (`toys`), which pytest's importlib mode does not."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
