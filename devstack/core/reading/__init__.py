"""Getting a document's blocks out of an uploaded file, which may be broken or hostile.

``formats`` knows the formats and which module reads each; all of them give the structure in
``blocks``. ``child`` runs them in a process of its own under limits, ``sandbox`` starts that
process and returns its result. ``nodes`` makes LlamaIndex nodes of what was read.
"""
