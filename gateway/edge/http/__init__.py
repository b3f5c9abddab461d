"""Requests and answers over HTTP: the pipeline, the routes, bodies, errors, CORS, OpenAPI."""
