"""Tests of the explorer in headless Chromium, opened from disk: `pytest docs`, after `make site`.

They need `pip install playwright`, and Chromium or Chrome.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest

from vae_keras.published import pretrained, registry
from vae_keras.vae import VAE

playwright = pytest.importorskip("playwright.sync_api")

HTML = Path(__file__).resolve().parents[1] / "site" / "html"
PAGE = HTML / "explorer.html"
MODELS = registry.MODELS / pretrained.FOLDER
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    not (PAGE.exists() and CHROMIUM), reason="needs the built site and Chromium"
)
NAMES = {"fashion_mnist-z2", "fashion_mnist-z32", "fashion_mnist-z32-conditional"}
all_published = pytest.mark.skipif(
    not NAMES <= {*pretrained.names()}, reason="needs all models of Fashion-MNIST"
)
PIXELS = """canvas => [...canvas.getContext("2d")
    .getImageData(0, 0, canvas.width, canvas.height).data].filter((_, i) => i % 4 == 0)"""
LEVEL = 1 / 255


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser):
    """Returns a function that opens the explorer; problems and outside requests fail the test."""
    problems = []

    def open_(width=1280, script="", **options):
        page = browser.new_page(viewport={"width": width, "height": 900}, **options)
        page.add_init_script(script)
        page.on("console", lambda m: m.type in ("error", "warning") and problems.append(m.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: outside(request.url) and problems.append(request.url))
        page.goto(PAGE.as_uri())
        page.evaluate("explorer.ready")
        return page

    open_.problems = problems
    yield open_
    assert problems == []


def outside(url):
    return not url.startswith((HTML.as_uri(), "data:", "blob:"))


def picture(page, panel, number=0):
    """Returns the first channel of a panel's picture, once all computation has ended."""
    page.evaluate("explorer.idle()")
    return np.array(
        page.locator(f"#explorer-{panel} .explorer-picture").nth(number).evaluate(PIXELS)
    )


def expected(vae, z, labels=None):
    return np.asarray(vae.decode(np.array(z, "float32"), labels))[0, ..., 0].ravel() * 255


def test_pictures_are_those_of_keras(open_page):
    page = open_page()
    codes = np.random.default_rng(0).standard_normal((10, 32)).astype("float32")
    for dataset in page.evaluate("Object.keys(EXPLORER.index)"):
        models = page.evaluate(f"explorer.load('{dataset}').then(data => data.models)")
        for role, model in models.items():
            vae = VAE.from_pretrained(model["name"])
            z = codes[:, : model["latentDim"]]
            labels = np.arange(10) if vae.num_classes else None
            inputs = [z.tolist()] + ([np.eye(10).tolist()] if vae.num_classes else [])
            script = f"inputs => explorer.run(EXPLORER.{dataset}.models.{role}.decoder, ...inputs)"
            pixels = page.evaluate(f"async inputs => [...await ({script})(inputs)]", inputs)
            images = np.asarray(vae.decode(z, labels))
            np.testing.assert_allclose(np.reshape(pixels, images.shape), images, atol=LEVEL)


def test_the_point_moves_by_mouse_and_by_keys_and_the_picture_follows(open_page):
    page = open_page()
    vae = VAE.from_pretrained("fashion_mnist-z2")
    canvas, seen = page.locator(".explorer-map"), [picture(page, "planar")]
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.7, box["y"] + box["height"] * 0.6, steps=5)
    page.mouse.up()
    seen.append(picture(page, "planar"))
    for key in ("Shift+ArrowLeft", "ArrowUp"):
        canvas.press(key)
        seen.append(picture(page, "planar"))
        z = page.evaluate("explorer.state.planar")
        np.testing.assert_allclose(seen[-1], expected(vae, [z]), atol=1)
    assert all(
        np.abs(before - after).max() > 1 for before, after in zip(seen, seen[1:], strict=False)
    )


def test_a_touch_moves_the_point(open_page):
    page = open_page(400, has_touch=True)
    before = picture(page, "planar")
    page.locator(".explorer-map").tap(position={"x": 60, "y": 200})
    assert np.abs(picture(page, "planar") - before).max() > 1


@all_published
def test_sliders_samples_and_classes_change_the_picture(open_page):
    page = open_page()
    assert page.locator("#explorer-large input[type=range]").count() == 8
    vae, seen = VAE.from_pretrained("fashion_mnist-z32"), [picture(page, "large")]
    page.locator("#explorer-large input[type=range]").first.fill("2.5")
    seen.append(picture(page, "large"))
    for source in ("prior", "mixture"):
        page.check(f"#explorer-large input[value={source}]")
        page.click("#explorer-large [data-act=sample]")
        seen.append(picture(page, "large"))
        np.testing.assert_allclose(
            seen[-1], expected(vae, [page.evaluate("explorer.state.code")]), atol=1
        )
    page.click("#explorer-large [data-act=next]")
    seen.append(picture(page, "large"))
    assert all(np.abs(a - b).max() > 1 for a, b in zip(seen, seen[1:], strict=False))
    vae, z = VAE.from_pretrained("fashion_mnist-z32-conditional"), np.zeros((1, 32))
    for label in (0, 7):
        page.locator("#explorer-conditional input").nth(label).check()
        found = picture(page, "conditional")
        np.testing.assert_allclose(found, expected(vae, z, [label]), atol=1)


@all_published
def test_drawing_changes_the_reconstruction(open_page):
    page = open_page()
    vae = VAE.from_pretrained("fashion_mnist-z32")
    image = np.load(MODELS / "fashion_mnist.npz")["images"][:1]
    before = picture(page, "draw", 1)
    np.testing.assert_array_equal(picture(page, "draw"), image.ravel())
    np.testing.assert_allclose(before, np.asarray(vae.reconstruct(image)).ravel() * 255, atol=1)
    page.locator(".explorer-canvas").scroll_into_view_if_needed()
    box = page.locator(".explorer-canvas").bounding_box()
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 150, box["y"] + 100, steps=10)
    page.mouse.up()
    assert (picture(page, "draw") == 255).sum() > (image == 255).sum() + 10
    assert np.abs(picture(page, "draw", 1) - before).max() > 1
    page.click("#explorer-draw [data-act=restore]")
    np.testing.assert_array_equal(picture(page, "draw", 1), before)
    page.locator(".explorer-canvas").press("Space")
    assert np.abs(picture(page, "draw", 1) - before).max() > 1


def test_other_data_sets_show_what_they_have(open_page):
    page = open_page()
    names = page.evaluate("Object.keys(EXPLORER.index)")
    for number, dataset in enumerate(names):
        page.locator("#explorer-dataset input").nth(number).check()
        page.wait_for_function(f"explorer.state.dataset == EXPLORER.{dataset}")
        picture(page, "planar")
        models = page.evaluate("Object.keys(explorer.state.dataset.models)")
        for panel in ("planar", "large", "conditional"):
            assert page.locator(f"#explorer-{panel}").is_visible() == (panel in models)


@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_wider_than_the_screen(open_page, width):
    assert open_page(width).evaluate("document.scrollingElement.scrollWidth") <= width


def test_without_webassembly_it_says_so(open_page):
    page = open_page(script="delete window.WebAssembly")
    assert "has no WebAssembly" in page.inner_text("#explorer-status")
    assert [text for text in open_page.problems if "WebAssembly" not in text] == []
    open_page.problems.clear()


def test_it_takes_less_than_12_megabytes():
    files = [PAGE, *HTML.glob("_static/explorer*"), *HTML.glob("_static/explorer/*")]
    assert sum(path.stat().st_size for path in files if path.is_file()) < 12e6
