"""Exercises that check themselves: ``python -m tinycnn.exercises --help``.

In a notebook, ``print(check(EXERCISES["conv_forward"], my_function))``.
"""

from tinycnn.exercises import (
    adam,
    batchnorm_backward,
    col2im,
    conv_backward,
    conv_forward,
    cross_entropy,
    dense,
    dropout,
    grad_cam,
    im2col,
    maxpool_backward,
    own_layer,
    receptive_field,
    winograd,
)
from tinycnn.exercises.check import Report as Report
from tinycnn.exercises.check import check as check
from tinycnn.exercises.exercise import Exercise as Exercise

FILES = [dense, conv_forward, im2col, col2im, conv_backward, maxpool_backward, cross_entropy, batchnorm_backward]
FILES += [dropout, adam, own_layer, receptive_field, grad_cam, winograd]
EXERCISES: dict[str, Exercise] = {file.EXERCISE.name: file.EXERCISE for file in FILES}  # in the order of the course
