"""The former name of ``gateway.commands.health``, kept for one version: images may call it."""

from __future__ import annotations

import os
import sys

from gateway.commands.health import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
