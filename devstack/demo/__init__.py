"""``gateway demo``: from nothing to a streamed, cited answer out of one's own document.

``cli`` runs the story; ``client`` speaks the public API as any client would; ``screen`` writes;
``question`` finds something worth asking; ``curls`` prints lines to go on with.
"""
