"""Make the pictures of examples/README.md: run its pages and shrink what they draw.

    python .ci/build_gallery.py [PAGE ...]      (default: all pages)

Needs the extras of the pages, and Java for 15_scale_out_spark.py. A page writes
examples/output/PAGE.png; here it becomes examples/images/PAGE.png, in 64 colours.
"""

import subprocess
import sys
from pathlib import Path

from PIL import Image

EXAMPLES = Path(__file__).parents[1] / "examples"
MAX_WIDTH = 720  # pixels
N_COLORS = 64


def shrink(drawn: Path, target: Path) -> None:
    image = Image.open(drawn).convert("RGB")
    if image.width > MAX_WIDTH:
        height = round(image.height * MAX_WIDTH / image.width)
        image = image.resize((MAX_WIDTH, height), Image.Resampling.LANCZOS)
    image.quantize(N_COLORS).save(target, optimize=True)
    sys.stdout.write(f"{target}: {target.stat().st_size:,} bytes\n")


def main(*pages: str) -> None:
    for page in map(Path, pages or sorted(EXAMPLES.glob("*.py"))):
        subprocess.run([sys.executable, page], check=True)
        name = f"{page.stem}.png"
        shrink(EXAMPLES / "output" / name, EXAMPLES / "images" / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
