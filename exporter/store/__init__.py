"""What is true now.

Lives here: the exposition (samples to bytes), the shelf (bytes by family and target), the board
(which readings are alive), the chronicle (past values in memory) and the ledger (what survives the
process, on disk).
May know: the kernel and the model.
Must never: await in front of a scrape, or hold a value without its age.
"""
