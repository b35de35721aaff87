"""Reads people's own documents: a picture or a PDF file in, its fields out, each with what it is worth.

``sources`` (images, TIFF, PDF, folders) and ``fields`` (what is asked) go in; ``run`` is the loop; ``results`` says what a
field came to, ``checks`` what speaks against it, ``looks`` what a second photograph would mend; ``writing`` and ``terminal``
show it. docs/reading.md is for whoever uses it.
"""
