"""The text form of definitions, as structs: what may be written, not yet what it means.

Lives here: one struct for each map of a definition, with the description that editors show.
``words`` holds the types that several of them share, also with the configuration's own structs.
Must never: understand a path, a template or a duration. That is ``config.compile``.
"""
