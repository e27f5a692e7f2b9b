"""Train the report's network on chest X-rays and say honestly how well it does.

For research and teaching only, never for diagnosis.  ``python examples/chest_xray.py --help`` lists the options.
"""

import sys

from tinycnn import Conv2D, Dense, Dropout, Flatten, MaxPool2D, Sequential
from tinycnn.study.command_line import example_parser
from tinycnn.study.commands import train


def network(classes, seed):
    """The report's network: 16,887,491 parameters for 256x256 RGB films of three classes.

    It is trained with ``model.fit`` as the report has it: Adam, cross-entropy with a weight for each class, batches of
    16, 10 epochs.  The steps around that, from loading to the report, stand in tinycnn/study/commands/train.py.
    """
    layers = []
    for filters in (32, 64, 128):
        layers += [Conv2D(filters, 3, padding="same", activation="relu"), MaxPool2D(2)]
    layers += [Dropout(0.3), Flatten(), Dense(128, activation="relu")]
    layers += [Dropout(0.3), Dense(128, activation="relu"), Dense(classes, activation="softmax")]
    return Sequential(layers, seed=seed, name="report_cnn")


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
    """Load, audit, train, score, write the report; returns the exit code."""
    parser = example_parser(__doc__, EXAMPLES, "runs/chest_xray")
    train.add_training(parser)
    return train.run(parser.parse_args(arguments), network)


if __name__ == "__main__":
    sys.exit(main())
