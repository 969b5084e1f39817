"""From a captured answer to the beginning of a definition: guesses, each marked as one.

Only ``providers new --from-sample`` guesses. Lives here: `sample` reads the answer, `shape` says
what is in it, `words` what vendors' words mean, `levels` and `entries` walk, `roles`, `money`,
`times`, `pages`, `naming` and `tables` guess, `guess` puts it together. Must never: be used by a
poll.
"""
