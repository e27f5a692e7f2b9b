"""Lets every test file import the helpers in this folder (`toys`), which pytest's importlib mode does not."""

import signal
import sys
from pathlib import Path

# In the background of a script Python inherits an ignored SIGINT, and so would the programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

sys.path.insert(0, str(Path(__file__).parent))
