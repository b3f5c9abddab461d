"""Made of ``proto/knowledge/core/v1`` by ``python -m tools.build_proto``; see ``docs/grpc.md``."""
