"""``python -m knowledge_base.cli``, where ``kb`` is not on the path."""

from knowledge_base.cli.main import entry

entry()
