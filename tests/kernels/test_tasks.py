import pytest

from tinycnn.kernels.tasks import part


@pytest.mark.parametrize("size", [0, 1, 7, 63, 64, 1000])
@pytest.mark.parametrize("chunks", [1, 3, 64])
def test_parts_follow_each_other_and_are_about_equal(size, chunks):
    parts = [part(chunk, chunks, size) for chunk in range(chunks)]
    assert parts[0][0] == 0 and parts[-1][1] == size
    assert all(a[1] == b[0] for a, b in zip(parts, parts[1:], strict=False))
    assert {last - first for first, last in parts} <= {size // chunks, -(-size // chunks)}
