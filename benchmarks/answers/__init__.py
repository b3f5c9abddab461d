"""Answers measured: questions over files in many languages, the reference core beside LlamaIndex.

``questions.json`` has each question with its source, what has to be in the answer, and where;
``questions`` reads it, ``score`` compares, ``core`` and ``peer`` answer, ``report`` tells.
"""
