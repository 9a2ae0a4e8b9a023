"""Sphinx configuration of the site. `make site` executes the notebooks and builds it."""

import json
import re
from importlib.util import find_spec
from pathlib import Path

import autoapi._parser

import vae_keras

project = "vae_keras"
author = "the vae_keras authors"
project_copyright = "the vae_keras authors, Apache 2.0"
version = release = vae_keras.__version__
WIDGET = "application/vnd.jupyter.widget-view+json"  # needs a running kernel
REPOSITORY = "https://github.com/vae-keras/vae-keras"

extensions = [
    "myst_nb",
    "autoapi.extension",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx_design",
    "sphinx_copybutton",
]
exclude_patterns = ["_templates", "generated"]

# `docs/build.py` executes the notebooks. The pages load nothing from other servers.
nb_execution_mode = "off"
nb_ipywidgets_js = {}
nb_merge_streams = True
nb_render_markdown_format = "myst"
nb_code_prompt_show = "Show the code"
nb_code_prompt_hide = "Hide the code"
myst_enable_extensions = ["dollarmath", "amsmath", "colon_fence"]
myst_heading_anchors = 3
# MathJax as one file that renders formulas without fonts; the package only ships it.
MATHJAX = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static/mathjax/tex-svg.js"
mathjax_path = MATHJAX.name
suppress_warnings = ["mystnb.unknown_mime_type", "autoapi.python_import_resolution"]

# The API reference reads the source and imports nothing.
autoapi_dirs = ["../vae_keras"]
autoapi_root = "api"
autoapi_ignore = ["*_test.py", "*/conftest.py", "*/__main__.py"]
autoapi_options = ["members", "show-inheritance"]
autoapi_template_dir = "_templates/autoapi"
autoapi_member_order = "bysource"
autoapi_python_class_content = "class"
autoapi_add_toctree_entry = False
# A method without a docstring does not inherit the docstring of Keras's method.
autoapi._parser.Parser._relevant_ancestors = lambda self, node: ()
default_role = "code"
napoleon_use_ivar = True
napoleon_custom_sections = [
    ("Call arguments", "params_style"),
    ("Output shape", "Returns"),
    ("Reference", "References"),
]

html_theme = "sphinx_book_theme"
html_title = "vae_keras"
html_static_path = ["_static", "generated/static", str(MATHJAX)]
html_css_files = ["site.css"]
html_use_index = False
html_domain_indices = False
html_copy_source = False
html_show_search_summary = False  # its requests fail on file://
html_context = {"default_mode": "auto"}
html_show_sourcelink = False
html_theme_options = {
    "repository_url": REPOSITORY,
    "repository_branch": "main",
    "path_to_docs": "",
    "use_repository_button": True,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "launch_buttons": {
        "colab_url": "https://colab.research.google.com",
        "binderhub_url": "https://mybinder.org",
    },
    "show_toc_level": 2,
    "navbar_persistent": [],
}


def present(app, docname, source):
    """Turns a notebook into a chapter: without badge, set-up cell and widget, and with folded code.

    Cells tagged `remove-cell` are left out. A code cell without output is merged into the next code
    cell, and both fold together.
    """
    if not docname.startswith("notebooks/"):
        return
    notebook, cells = json.loads(source[0]), []
    for cell in notebook["cells"]:
        text, tags = "".join(cell["source"]), cell["metadata"].setdefault("tags", [])
        is_code = cell["cell_type"] == "code"
        is_setup = is_code and '"google.colab" in sys.modules' in text
        if is_setup or "remove-cell" in tags or (is_code and WIDGET in json.dumps(cell["outputs"])):
            continue
        if is_code:
            if cells and cells[-1]["cell_type"] == "code" and not cells[-1]["outputs"]:
                text = f"{cells.pop()['source']}\n\n{text}"
            tags.append("hide-input")
        else:
            text = re.sub(r"^\[!\[.*\]\(.*\)$", "", text, flags=re.MULTILINE)
        cells.append({**cell, "source": text})
    source[0] = json.dumps({**notebook, "cells": cells})


def setup(app):
    app.connect("source-read", present)
