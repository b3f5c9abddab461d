"""``kb``: the knowledge base on the command line (``pip install 'knowledge-base-client[cli]'``)."""

from knowledge_base.cli.main import entry, main

__all__ = ["entry", "main"]
