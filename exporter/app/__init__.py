"""The composition root: builds the parts, connects them, starts, reloads and stops them.

May import: everything. The stages meet here, as values and callables.
Must never: compute what a stage can compute without the whole.
"""
