"""Makes the checkout's own programs (``tools``) importable: they are not installed."""

import sys
from pathlib import Path

# Last, so that what is installed is what is tested.
sys.path.append(str(Path(__file__).parents[2]))
