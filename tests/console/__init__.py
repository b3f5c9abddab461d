"""The console in a real Chromium, against the real stack."""
