"""Bytes and connections below Sanic: what is read, held to limits and written to a socket."""
