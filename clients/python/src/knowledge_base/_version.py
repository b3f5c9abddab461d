"""The version of this distribution; ``pyproject.toml`` reads it."""

VERSION = "0.1.0"
