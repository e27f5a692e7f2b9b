import pytest

from tinycnn.arguments import chosen, number, whole_number


class Animal:
    pass


class Cat(Animal):
    pass


@pytest.mark.parametrize("value, below", [(0, 1), (0.999, 1), ("0.5", 1), (1e9, float("inf"))])
def test_numbers(value, below):
    result = number(value, "it", below)
    assert type(result) is float and result == float(value)


@pytest.mark.parametrize(
    "value, below", [(-1e-9, 1), (1, 1), (1.5, 1), (float("nan"), 1), ("x", 1), (None, 1), ([1], 2)]
)
def test_what_is_no_number_from_0_on(value, below):
    with pytest.raises(ValueError, match=rf"it must be in \[0, {below}\), got "):
        number(value, "it", below)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), -1])
def test_numbers_are_finite_without_a_bound(value):
    with pytest.raises(ValueError, match=f"it must be finite and not negative, got {value}"):
        number(value, "it")


def test_whole_numbers():
    assert [whole_number(value, "it") for value in (1, 2.0, 1e3)] == [1, 2, 1000]
    for value in (0, 0.5, "3", None, -2):
        with pytest.raises(ValueError, match="it must be "):
            whole_number(value, "it")


def test_chosen_by_name_or_as_they_are():
    cat = Cat()
    assert chosen(cat, "animal", Animal, {"cat": Cat}) is cat
    assert type(chosen("cat", "animal", Animal, {"cat": Cat})) is Cat
    with pytest.raises(ValueError, match=r"write animal=Cat\(\)"):
        chosen(Cat, "animal", Animal, {"cat": Cat})
    with pytest.raises(ValueError, match=r"class Animal, an object such as Cat\(\), or one of cat; got 'dog'"):
        chosen("dog", "animal", Animal, {"cat": Cat})
