"""What is known now, and what survives the process.

Holds: the current readings and past values, the exposition as bytes, and the ledger on disk.
May import: the kernel and the model.
Must never: make a scrape wait for the disk, or hold a value without its age.
"""
