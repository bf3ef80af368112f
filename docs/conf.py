"""How the documentation is built: every code cell is run, nothing is fetched from the network."""

import importlib.metadata
import importlib.util
import os
import sys

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx

# Cells call the `retention` command; it lives beside the Python that builds these pages.
os.environ["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
# What the hidden cells of the pages share.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [os.path.dirname(__file__), os.environ.get("PYTHONPATH")]))
# A page shows the same bytes whoever builds it: no plugin of the builder's, no width of her terminal.
os.environ.update(RETENTION_BLOCKED_PLUGINS="", COLUMNS="100", MPLBACKEND="module://matplotlib_inline.backend_inline")

project = "retention"
author = "the authors of retention"
release = version = importlib.metadata.version("retention")
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "**.ipynb_checkpoints"]

nb_execution_mode = "force"
nb_execution_in_temp = True
# A page about an engine runs where that engine is installed.
nb_execution_excludepatterns = [
    page
    for page, module in (("how-to/warehouse.md", "ibis"), ("how-to/spark.md", "pyspark"))
    if importlib.util.find_spec(module) is None
]
nb_execution_raise_on_error = True
nb_execution_timeout = 120
nb_merge_streams = True
nb_render_markdown_format = "myst"
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"retention {release}"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_show_sourcelink = False
html_show_copyright = False
html_show_sphinx = False
html_math_renderer = "mathml"

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
napoleon_google_docstring = True
napoleon_numpy_docstring = False


def _mathml(*, block: bool):
    """A visitor that writes formulas as MathML, which browsers draw by themselves."""

    def visit(self, node: nodes.math | nodes.math_block) -> None:
        self.body.append(str(tex2mathml(node.astext(), as_block=block)))
        raise nodes.SkipNode

    return visit


def setup(app: Sphinx) -> None:
    app.add_html_math_renderer("mathml", (_mathml(block=False), None), (_mathml(block=True), None))
