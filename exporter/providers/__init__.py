"""The shipped definitions, one YAML file a provider: package data, no Python."""
