"""Getting the text out of an uploaded file, which may be broken or hostile.

``formats`` knows the formats, ``child`` runs it in a process of its own under limits, ``sandbox``
starts that process and returns its result.
"""
