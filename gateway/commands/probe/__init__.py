"""``gateway probe URL``: what stands between a client and the stream, and what to change there."""
