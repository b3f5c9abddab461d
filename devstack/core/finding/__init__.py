"""Finding passages: the words of a text in one normal form, the index of them, and its scores.

``normal_form`` and ``words`` say what a word is, ``languages`` how it is stemmed and which words
say nothing; ``wanted`` turns a question into what is looked for; ``retriever`` scores passages.
"""
