"""Settings become adapters, adapters become flows: what one worker runs on."""
