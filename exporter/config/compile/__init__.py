"""The text of a definition becomes values that need no more understanding.

Lives here: one module for each part of a definition. All take a place, to which they tell what
is wrong, and the text.
Must never: stop at a problem. What cannot be compiled is replaced by a stand-in, so that the rest
is checked too; a definition with problems is rejected as a whole, and no stand-in is ever used.
"""
