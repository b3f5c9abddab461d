"""The Knowledge Base gateway: one guarded door that relays streams."""

__version__ = "0.1.0"
# Where the API stands. Probes, the documentation and the seed's login are at the root.
API_PREFIX = "/api/v1"
