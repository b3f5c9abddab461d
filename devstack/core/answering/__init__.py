"""Answers: out of the passages found, without a model or with one.

``sentences`` cuts text, ``units`` makes of passages what can be quoted, ``extract`` chooses among
it and writes the extractive answer, ``outline`` what is said when a summary is asked for,
``citations`` checks what a model cites.
"""
