"""Drafts of definitions for ``providers new``.

Holds: ``infer`` and its parts, which read a captured answer, and ``new``, which writes the file.
May import: the kernel and the model.
Must never: be used by a poll.
"""
