"""``python -m devstack.core serve`` and ``python -m devstack.core worker``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from devstack.core.settings import SettingsError, read_settings


def main() -> int:
    """Run one of the two processes; 2 when the settings are faulty, each fault on its own line."""
    parser = argparse.ArgumentParser(prog="python -m devstack.core", description=__doc__)
    parser.add_argument("process", choices=["serve", "worker"])
    process = parser.parse_args().process
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.INFO,
        format="%(asctime)s %(levelname)s %(name)s %(message)s",
    )
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("bm25s").addFilter(lambda record: record.levelno >= logging.WARNING)
    try:
        settings = read_settings(os.environ, "core" if process == "serve" else "worker")
    except SettingsError as invalid:
        for fault in invalid.faults:
            print(fault, file=sys.stderr)
        return 2
    if settings.debug:
        # Ours alone: what its libraries say of every request helps nobody here.
        logging.getLogger("devstack.core").setLevel(logging.DEBUG)
    if process == "serve":
        from devstack.core.serve import run_service as run
    else:
        from devstack.core.worker import run_worker as run
    asyncio.run(run(settings))
    return 0


if __name__ == "__main__":
    sys.exit(main())
