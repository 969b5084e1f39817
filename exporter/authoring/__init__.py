"""What writes the beginning of a definition: ``providers new``.

``infer`` reads a captured answer, ``new`` writes the file. Must never: be used by a poll.
"""
