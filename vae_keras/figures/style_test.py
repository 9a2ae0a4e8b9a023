import io
import subprocess
import sys

import matplotlib as mpl
from PIL import Image

from vae_keras.figures import style


@style.styled
def draw():
    figure, ((left, right),) = style.panels(1, 2)
    left.plot([1, 2], label="both")
    right.plot([2, 1], label="both")
    right.plot([1, 1], label="right only")
    return style.finish(figure, "The point")


def test_importing_and_drawing_do_not_change_the_session():
    code = (
        "import sys, matplotlib as mpl; before = dict(mpl.rcParams); "
        "from vae_keras.figures import many_runs, one_run, pictures, style_test; "
        "style_test.draw().savefig(sys.argv[1], format='png'); "
        "print(dict(mpl.rcParams) == before, {'tensorflow', 'keras'} & {*sys.modules})"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, "/dev/null"], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "True set()"


def test_saved_figures_ignore_the_session_settings():
    pictures = []
    for dpi in (37, 200):
        with mpl.rc_context({"savefig.dpi": dpi, "savefig.bbox": None}):
            buffer = io.BytesIO()
            draw().savefig(buffer)
            pictures.append(buffer.getvalue())
    assert pictures[0] == pictures[1]


def test_a_notebook_shows_the_figure():
    with Image.open(io.BytesIO(draw()._repr_png_())) as shown:
        assert shown.format == "PNG"
        assert 600 < shown.width < 700  # two panels of 3.2 inches at 100 dots an inch


def test_the_legend_has_every_label_once(legend_texts):
    assert legend_texts(draw()) == ["both", "right only"]
    assert draw().get_suptitle() == "The point"
