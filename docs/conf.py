"""How Sphinx builds the documentation; ``make docs`` runs it with warnings as errors."""

from pallets_sphinx_themes import get_version

project = "Demijohn"
author = "The Demijohn authors"
copyright = "2026, The Demijohn authors"  # noqa: A001  Sphinx names its settings
release, version = get_version("demijohn")

extensions = ["myst_parser", "pallets_sphinx_themes", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence", "deflist", "fieldlist"]
myst_heading_anchors = 3
autodoc_typehints = "description"
autodoc_preserve_defaults = True
suppress_warnings = ["myst.domains"]  # two domains of the theme, which we do not use, lack a method
nitpicky = False  # numpy's and Flask's objects live in documents we do not load: the build is offline

html_theme = "flask"
html_title = f"Demijohn {version}"
html_show_sourcelink = False
html_theme_options = {"index_sidebar_logo": False}
