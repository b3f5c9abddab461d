"""The messages of ``proto/knowledge/gateway/v1``; made by ``python -m tools.build_proto``."""
