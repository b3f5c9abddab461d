"""``gateway demo``: from nothing to a streamed, cited answer out of one's own document.

``cli`` runs the steps; ``client`` calls the public API as any client would; ``screen`` prints;
``question`` finds a question to ask; ``curls`` makes ``curl`` lines to continue with.
"""
