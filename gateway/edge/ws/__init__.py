"""The WebSocket door: messages of a socket become questions to the same pipeline and flows."""
