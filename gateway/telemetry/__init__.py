"""What the gateway reports of itself: metrics for Prometheus, spans for OpenTelemetry."""
