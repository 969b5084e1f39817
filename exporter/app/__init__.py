"""The composition root: builds the parts, hands them to each other, starts, swaps and stops them.

May know: everything. The stages meet here, as values and callables.
Must never: hold a formula. Whatever can be computed without the whole belongs to a stage.
"""
