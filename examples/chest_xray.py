"""Train the report's network on chest X-rays and say honestly how well it does.

For research and teaching only, never for diagnosis.  ``python examples/chest_xray.py --help`` lists the options.
"""

import sys

from tinycnn.study.command_line import example_parser
from tinycnn.study.commands import train

EXAMPLES = """\
  python examples/chest_xray.py
      synthetic images, 10 epochs: see everything work without any data
  python examples/chest_xray.py --data Covid19-dataset.zip
      the report's run on real images: a folder or zip with train/CLASS/image and test/CLASS/image
  python examples/chest_xray.py --data FOLDER --epochs 30 --out runs/long --resume
      go on where runs/long stopped (Ctrl-C, a crash), to the same bits as without the stop
  python examples/chest_xray.py --data FOLDER --size 128 --validation-fraction 0.2
      smaller and four times as fast, with a fifth of the training images kept for validation
"""


def main(arguments=None):
    """Run the example, whose every step stands in tinycnn/study/commands/train.py; returns the exit code."""
    parser = example_parser(__doc__, EXAMPLES, "runs/chest_xray")
    train.add_training(parser)
    return train.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
