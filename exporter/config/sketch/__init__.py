"""From a captured answer to the beginning of a definition: guesses, each marked as one.

Only ``providers new --from-sample`` guesses. Lives here: `sample` reads the answer, `shape` says
what is in it, `words` what vendors' words mean, `levels` walks, `roles`, `money`, `times`, `pages`
and `tables` guess, `text` writes. Must never: be used by a poll.
"""
