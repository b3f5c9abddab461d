"""The Knowledge Base gateway: one guarded door that relays streams."""

__version__ = "0.1.0"
