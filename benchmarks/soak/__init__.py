"""The soak: everything at once for hours, and whether anything grows that should not."""
