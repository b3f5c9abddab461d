"""``python -m gateway`` is the ``gateway`` command."""

import sys

from gateway.commands.cli import main

# Worker processes are spawned and import this module again under another name.
if __name__ == "__main__":
    sys.exit(main())
