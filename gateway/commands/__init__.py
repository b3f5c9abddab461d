"""The ``gateway`` command: one module a command."""
