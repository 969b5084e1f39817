"""The generated pages that are not a provider's: those are made by ``exporter.app.pages``."""
