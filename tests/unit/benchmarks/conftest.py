"""The benchmarks are not part of the wheel: they are found in the checkout the tests lie in."""

from __future__ import annotations

import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[3]

# Behind everything else, so that what was installed is still what is tested.
if str(CHECKOUT) not in sys.path:
    sys.path.append(str(CHECKOUT))
