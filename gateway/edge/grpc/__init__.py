"""The gRPC door: calls become requests to the same pipeline, routes and flows."""
