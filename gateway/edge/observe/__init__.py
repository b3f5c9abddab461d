"""What the edge reports of its work: access log, request metrics, spans, the admin listener."""
