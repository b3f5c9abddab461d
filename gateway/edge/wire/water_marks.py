"""How much may wait in a client's transport."""

from __future__ import annotations

# What may stand in the transport before the core has to wait: as much as asyncio's own mark.
HIGH_WATER_BYTES = 64 * 1024
# A transport that held more than that is written to again below this.
LOW_WATER_BYTES = 16 * 1024
