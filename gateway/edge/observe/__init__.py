"""What the edge tells of its work: access log, metrics of requests, spans, the admin listener."""
