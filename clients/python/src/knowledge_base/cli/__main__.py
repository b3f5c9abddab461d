"""``python -m knowledge_base.cli``, where ``kb`` is not on the path."""

import sys

from knowledge_base.cli.main import main

sys.exit(main())
