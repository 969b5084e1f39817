"""The parts of a provider definition, one module a concept: keys, parsers, compiled form."""
