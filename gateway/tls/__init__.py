"""Certificate files: what is wrong with them, and the TLS contexts made of them."""
