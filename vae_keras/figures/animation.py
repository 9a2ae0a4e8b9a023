"""Animations of training: frames drawn from arrays, and GIFs made of them."""

import base64
import html
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image, ImageDraw

from vae_keras.figures import one_run, style
from vae_keras.figures.pictures import montage, to_pixels

CAPTION_HEIGHT = 16  # pixels


def reconstruction_frames(originals, pictures, scale=2):
    """Makes one frame per epoch, with reconstructions below their originals.

    Args:
        originals: uint8 or floats in [0, 1], `(num_images, height, width, channels)`.
        pictures: reconstructions, `(num_frames, num_images, height, width, channels)`.
        scale: side of an image pixel, in screen pixels.

    Returns:
        List of `PIL.Image.Image`; the first one is captioned "epoch 0".

    Raises:
        ValueError: if the shapes of reconstructions and originals differ.
    """
    if np.shape(originals) != np.shape(pictures)[1:]:
        raise ValueError(
            "`pictures` must have the shape (num_frames, *originals.shape). "
            f"Received: {np.shape(pictures)} with originals of {np.shape(originals)}"
        )
    frames = []
    for epoch, reconstructions in enumerate(pictures):
        rows = np.concatenate([to_pixels(originals), to_pixels(reconstructions)])
        sheet = montage(rows, len(originals)).repeat(scale, 0).repeat(scale, 1)
        sheet = np.pad(sheet, ((CAPTION_HEIGHT, 0), (0, 0), (0, 0)), constant_values=255)
        frame = Image.fromarray(sheet)
        ImageDraw.Draw(frame).text((2, 2), f"epoch {epoch}", fill="black")
        frames.append(frame)
    return frames


@style.styled
def latent_frames(codes, labels, class_names, axis_labels=("$z_1$", "$z_2$")):
    """Makes one frame per epoch, with the latent codes in the same axis limits.

    Args:
        codes: `(num_frames, num_images, 2)`.
        labels: integers, `(num_images,)`, or `None` for images without classes.
        class_names: names of the classes, in the order of their labels.
        axis_labels: labels of the two axes.

    Returns:
        List of `PIL.Image.Image`; the first one is titled "epoch 0".
    """
    codes = np.asarray(codes, "float32")
    low, high = codes.min(axis=(0, 1)), codes.max(axis=(0, 1))
    margin = 0.05 * (high - low) + 1e-6
    figure, ((axes,),) = style.panels(width=4.8, height=3.4)
    figure.set_dpi(100)
    canvas = FigureCanvasAgg(figure)
    points = one_run.scatter_classes(axes, codes[0], labels, class_names)
    style.finish(figure, beside=True)
    axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), aspect="equal", title="epoch 0")
    axes.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
    axes.set(xlabel=axis_labels[0], ylabel=axis_labels[1])
    figure.set_layout_engine("compressed")  # leaves room beside axes of equal aspect
    canvas.draw()
    figure.set_layout_engine("none")  # keeps everything in place, and draws faster
    frames = []
    for epoch, positions in enumerate(codes):
        for mask, collection in points:
            collection.set_offsets(positions[mask])
        axes.set_title(f"epoch {epoch}")
        canvas.draw()
        frames.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    return frames


def write_animation(frames, path, frames_per_second=4):
    """Writes frames as a looping GIF that holds its last frame for two seconds.

    Args:
        frames: list of at least one `PIL.Image.Image`, all of the same size.
        path: path of the GIF.
        frames_per_second: at least 1.

    Raises:
        ValueError: if there are no frames.
    """
    if not frames:
        raise ValueError("`frames` must hold at least one frame. Received: none")
    # With one palette for all frames, static parts are stored once and white stays white.
    palette = Image.fromarray(np.concatenate(frames))
    palette = palette.quantize(128, method=Image.Quantize.MAXCOVERAGE)
    first, *others = [frame.quantize(palette=palette, dither=0) for frame in frames]
    durations = [1000 // frames_per_second] * len(others) + [2000]
    first.save(path, format="GIF", save_all=True, append_images=others, duration=durations, loop=0)


def html_table(rows):
    """Returns an HTML table with embedded GIFs; `rows` is a dict from label to their paths."""
    lines = []
    for label, paths in rows.items():
        data = [base64.b64encode(Path(path).read_bytes()).decode() for path in paths]
        cells = [f'<td><img src="data:image/gif;base64,{image}"></td>' for image in data]
        lines.append(f"<tr><th>{html.escape(label)}</th>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"
