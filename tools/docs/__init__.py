"""Builds the documentation: `python -m tools.docs` writes the generated pages, `python -m tools.docs.site` the site."""
