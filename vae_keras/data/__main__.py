"""`python -m vae_keras.data NAME...` fetches data sets and prints their sources."""

import argparse
import sys

from vae_keras.data.catalogue import DATASETS
from vae_keras.data.load import SPLITS, load_images, locate


def main(arguments=None):
    """Fetches data sets into caches, where parallel runs find them.

    Args:
        arguments: list of strings; `None` takes them from the command line.

    Returns:
        The exit code: 0, or 1 after a one-line error message.
    """
    parser = argparse.ArgumentParser(
        prog="python -m vae_keras.data",
        description="Fetches data sets into Keras's cache, and a folder's images into the user's.",
    )
    names_help = f"{', '.join(DATASETS)}, folder:/path/to/images, or an .npz file"
    parser.add_argument("names", nargs="+", metavar="NAME", help=names_help)
    parser.add_argument(
        "--image-size", type=int, default=32, help="pixels, for images in a folder (default: 32)"
    )
    options = parser.parse_args(arguments)
    try:
        places = [locate(name)[1] for name in options.names]  # refuses names before any download
        for name, place in zip(options.names, places, strict=True):
            splits = {split: load_images(name, split, 1.0, options.image_size) for split in SPLITS}
            counts = ", ".join(f"{len(images)} {split}" for split, (images, _) in splits.items())
            print(f"{name}: from {place or 'the code that draws it'}; images: {counts}", flush=True)
    except (OSError, ValueError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
