"""The public set is known by its names, and by all of them."""

from collections import Counter

import pytest

from tinycnn.data import load_image_folder
from tinycnn.study.films.known_sets import chest_class_names, known_patients, known_sources


def test_the_real_set_is_recognised_and_its_films_exist(real_folder):
    data = load_image_folder(real_folder, size=8, mode="L")
    patients = known_patients(data.train.paths + data.test.paths)
    assert set(patients) <= set(data.train.paths + data.test.paths)
    for patient in set(patients.values()):
        films = [path for path, whose in patients.items() if whose == patient]
        assert {path.split("/")[0] for path in films} == {"train", "test"}
        assert len({path.split("/")[1] for path in films}) == 1
    assert known_patients(data.train.paths) == {}


def test_the_real_sets_collections(real_folder):
    data = load_image_folder(real_folder, size=8, mode="L")
    sources = known_sources(data.train.paths + data.test.paths)
    assert set(sources) == set(data.train.paths + data.test.paths)
    counts = Counter((path.split("/")[1], source) for path, source in sources.items())
    assert counts == {
        ("Normal", "Kermany"): 90,
        ("Viral Pneumonia", "Kermany"): 90,
        ("Covid", "Figure 1"): 46,
        ("Covid", "Cohen and others"): 91,
    }


def test_another_set_has_no_known_patients():
    assert known_patients(["train/Covid/083.jpeg", "test/Covid/0102.jpeg"]) == {}
    assert known_sources(["train/Covid/083.jpeg", "test/Covid/0102.jpeg"]) == {}


@pytest.mark.parametrize(
    "names, chest",
    [
        (("Covid", "Normal", "Viral Pneumonia"), True),
        (("COVID-19", "No_Finding"), True),
        (("Synthetic Viral-like", "healthy_lungs"), True),
        (("pneumothorax", "other"), True),
        (("cat", "dog"), False),
        (("Normal", "Abnormal"), False),
        (("plunger", "sparse arson"), False),
        ((), False),
    ],
)
def test_chest_films_are_told_by_the_names_of_their_classes(names, chest):
    assert chest_class_names(names) is chest
