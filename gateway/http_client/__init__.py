"""Connections to cores and to a policy server: pool, transport, discovery."""
