"""What writes the beginning of a definition: ``providers new``.

``sample`` reads a captured answer into tables, ``words`` says what vendors' words mean, ``infer``
and ``paging`` guess, ``new`` writes the file. Must never: be used by a poll.
"""
