"""Animations over training: arrays in, frames out, and a GIF of them."""

import base64
import html
import os
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image, ImageDraw

from vae_keras.charts import scatter_classes
from vae_keras.plotting import STYLE, montage, to_pixels


def reconstruction_frames(originals, pictures, scale=2):
    """Makes the frames of an animation: originals above their reconstructions of each epoch.

    Args:
        originals: uint8 or floats in [0, 1], `(num_images, height, width, channels)`.
        pictures: of the same kind, `(num_frames, num_images, height, width, channels)`.
        scale: how many times larger each pixel is shown.

    Returns:
        List of `PIL.Image.Image`, the first named epoch 0.
    """
    if np.shape(originals) != np.shape(pictures)[1:]:
        raise ValueError(
            "`pictures` must have the shape (num_frames, *originals.shape). "
            f"Received: {np.shape(pictures)} and originals of {np.shape(originals)}"
        )
    frames = []
    for epoch, reconstructions in enumerate(pictures):
        rows = np.concatenate([to_pixels(originals), to_pixels(reconstructions)])
        sheet = Image.fromarray(montage(rows, len(originals)))
        sheet = sheet.resize((scale * sheet.width, scale * sheet.height), Image.Resampling.NEAREST)
        frame = Image.new("RGB", (sheet.width, sheet.height + 16), "white")
        frame.paste(sheet, (0, 16))
        ImageDraw.Draw(frame).text((2, 2), f"epoch {epoch}", fill="black")
        frames.append(frame)
    return frames


def latent_frames(codes, labels, class_names):
    """Makes the frames of an animation: latent codes after each epoch, in the same limits.

    Args:
        codes: `(num_frames, num_images, 2)`.
        labels: integers, `(num_images,)`.
        class_names: names of the classes, in the order of their labels.

    Returns:
        List of `PIL.Image.Image`, the first named epoch 0.
    """
    codes = np.asarray(codes, "float32")
    low, high = codes.min(axis=(0, 1)), codes.max(axis=(0, 1))
    margin = 0.05 * (high - low) + 1e-6
    frames = []
    with mpl.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(4.8, 3.4), dpi=80)
        points = scatter_classes(axes, codes[0], labels, class_names)
        axes.set(xlim=(low[0] - margin[0], high[0] + margin[0]), aspect="equal")
        axes.set(ylim=(low[1] - margin[1], high[1] + margin[1]))
        axes.set_title("epoch 0")
        figure.set_layout_engine("compressed")  # leaves room beside axes of equal aspect
        figure.canvas.draw()
        figure.set_layout_engine("none")  # it stays as it is, and the frames are drawn faster
        for epoch, positions in enumerate(codes):
            for label, collection in points.items():
                collection.set_offsets(positions[labels == label])
            axes.set_title(f"epoch {epoch}")
            figure.canvas.draw()
            frames.append(Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()))
        plt.close(figure)
    return frames


def html_table(rows):
    """Lays animations out in a table for a notebook, which then holds them itself.

    Args:
        rows: dict from label to the list of paths of the row's GIFs.

    Returns:
        HTML.
    """
    lines = []
    for label, paths in rows.items():
        cells = [
            f'<td><img alt="{html.escape(label)}: {Path(path).stem}" src="data:image/gif;base64,'
            f'{base64.b64encode(Path(path).read_bytes()).decode()}"></td>'
            for path in paths
        ]
        lines.append(f"<tr><th>{html.escape(label)}</th>{''.join(cells)}</tr>")
    return f"<table>{''.join(lines)}</table>"


def write_animation(frames, path, frames_per_second=4):
    """Writes frames as an endless GIF whose last frame stays for two seconds.

    Args:
        frames: list of `PIL.Image.Image` of one size.
        path: of the file, written at once or not at all.
        frames_per_second: at least 1.

    Raises:
        ValueError: if there are no frames.
    """
    if not frames:
        raise ValueError("`frames` must hold at least one frame. Received: none")
    path = Path(path)
    durations = [1000 // frames_per_second] * (len(frames) - 1) + [2000]
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    frames = [frame.quantize(128) for frame in frames]
    options = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0}
    try:
        frames[0].save(partial, format="GIF", **options)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
