from tinycnn.kernels.geometry import Geometry


def test_output_size():
    geometry = Geometry((3, 2), (2, 1), ((1, 0), (0, 3)), (1, 4), 1)
    assert geometry.output_size(8, 9) == (4, 8)
    assert Geometry((1, 1), (3, 3), ((0, 0), (0, 0)), (1, 1), 1).output_size(7, 6) == (3, 2)
