"""Run the whole course: every lesson, one after the other, and leave a folder of pictures.

python examples/lessons/run_all.py
python examples/lessons/run_all.py --out runs/lessons --thumbnails examples/lessons/thumbnails
"""

import argparse
import runpy
import sys
import time
from pathlib import Path

from PIL import Image

LESSONS = Path(__file__).parent
WIDTH = 400  # pixels of a thumbnail


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("runs/lessons"), help="folder of the pictures")
    parser.add_argument(
        "--thumbnails", type=Path, help=f"folder for copies {WIDTH} pixels wide, as README.md shows them"
    )
    options = parser.parse_args(arguments)
    for folder in filter(None, (options.out, options.thumbnails)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            parser.error(f"no pictures can be written to {folder}: {error.strerror}")
    given, seconds = sys.argv, {}
    for lesson in sorted(LESSONS.glob("[0-9]*.py")):
        print(f"\n=== {lesson.stem} ===", flush=True)
        began = time.perf_counter()
        sys.argv = [str(lesson), "--out", str(options.out)]
        try:
            runpy.run_path(str(lesson), run_name="__main__")
        finally:
            sys.argv = given
        seconds[lesson.stem] = time.perf_counter() - began
        if options.thumbnails:
            shrink(options.out / f"{lesson.stem}.png", options.thumbnails)
    print("\n" + "\n".join(f"{name:24}{value:6.1f} s" for name, value in seconds.items()))
    print(f"{len(seconds)} lessons in {sum(seconds.values()):.0f} s; their pictures are in {options.out}")
    return 0


def shrink(picture: Path, folder: Path) -> None:
    """A copy of few colours, WIDTH pixels wide."""
    image = Image.open(picture).convert("RGB")
    small = image.resize((WIDTH, round(WIDTH * image.height / image.width)), Image.Resampling.LANCZOS)
    small.quantize(128).save(folder / picture.name, optimize=True)


if __name__ == "__main__":
    sys.exit(main())
