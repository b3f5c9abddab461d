"""The reference core: a LlamaIndex service behind the gateway, and the worker that indexes uploads.

Two processes share one data directory. ``serve`` answers questions and document look-ups over
HTTP; ``worker`` runs ``UploadWorkflow``. Neither imports the gateway, nor the gateway them.
"""

VERSION = "0.1.0"
