"""What the gateway tells of itself: figures that Prometheus collects, spans for OpenTelemetry."""
