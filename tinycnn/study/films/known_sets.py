"""What is known of a data set beyond its pixels: whether of chests, patients, sources, and what is wrong with it."""

import re
from collections.abc import Iterable, Mapping, Sequence

_CHEST_WORDS = re.compile(r"(?<![a-z])(chest|lung|thorax|thoracic|covid|sars|pneumo|tubercul)", re.IGNORECASE)


def chest_class_names(class_names: Iterable[str]) -> bool:
    """Whether a set with these classes is taken for chest films, which the study's outlines of lungs need.

    It is if any name has a word that begins with chest, lung, thorax, thoracic, covid, sars, pneumo or tubercul.

    >>> chest_class_names(["Normal", "Viral Pneumonia"]), chest_class_names(["cat", "dog"])
    (True, False)
    """
    return any(_CHEST_WORDS.search(name) for name in class_names)


# "Covid-19 Image Dataset" (P. Raikote, Kaggle, CC BY-SA 4.0; 251 training and 66 test images).  The patients were
# found by matching its images with the collections they were taken from: the covid-chestxray-dataset's metadata.csv
# (J. P. Cohen, P. Morrison and L. Dao, arXiv:2006.11988) and, for the children, the file names of D. Kermany et al.
# (Cell 172, 2018; "person113").  Only patients on both sides of the published split are listed, and 16 of the
# Covid films have no known source, so this is a lower bound.
_COVID19_PATIENTS = {
    "Cohen 0102": ("test/Covid/0102.jpeg", "train/Covid/083.jpeg", "train/Covid/085.jpeg"),
    "Cohen 094": ("test/Covid/094.png", "train/Covid/092.png"),
    "Cohen 0112": (
        "test/Covid/0112.jpg",
        "test/Covid/auntminnie-2020_01_31_20_24_2322_2020_01_31_x-ray_coronavirus_US.jpg",
        "train/Covid/041.jpeg",
        "train/Covid/084.jpeg",
        "train/Covid/088.jpeg",
        "train/Covid/090.jpeg",
    ),
    "Kermany person113": ("test/Viral Pneumonia/0110.jpeg", "train/Viral Pneumonia/054.jpeg"),
}


def known_patients(paths: Sequence[str]) -> dict[str, str]:
    """Patients with several films, for a set that is recognised by the names of its files.

    Parameters
    ----------
    paths : sequence of str
        As in ``Audit.paths`` and ``Dataset.paths``.

    Returns
    -------
    dict of str to str
        Path and patient, for the films of which the patient is known; empty for a set that is not known.

    Examples
    --------
    >>> known_patients(["train/Normal/01.jpeg"])
    {}
    """
    patients = {path: patient for patient, films in _COVID19_PATIENTS.items() for path in films}
    return patients if set(patients) <= set(paths) else {}


def known_sources(paths: Sequence[str]) -> dict[str, str]:
    """Which collection each film came from, for a set that `known_patients` recognises.

    Parameters
    ----------
    paths : sequence of str
        As in ``Audit.paths`` and ``Dataset.paths``.

    Returns
    -------
    dict of str to str
        Path and collection, empty for a set that is not known: "Kermany" (children, one hospital), "Figure 1" (the
        Covid films called COVID-...) and "Cohen and others".

    Examples
    --------
    >>> known_sources(["train/Normal/01.jpeg"])
    {}
    """
    if not known_patients(paths):
        return {}

    def source(path: str) -> str:
        if "/Covid/" not in path:
            return "Kermany"
        return "Figure 1" if "/COVID-" in path else "Cohen and others"

    return {path: source(path) for path in paths}


# Of the public "COVID-19 Image Dataset" (317 films), compared with the collections it was made from.
_COVID19_ISSUES = (
    {"Covid": 137, "Normal": 90, "Viral Pneumonia": 90},
    (
        "Class and source coincide: the Normal and Viral Pneumonia films are of children of 1 to 5 years from one "
        "hospital, the Covid films of adults from many. A network can tell child from adult and never look at disease "
        "(Roberts et al., Nature Machine Intelligence 2021; DeGrave et al., Nature Machine Intelligence 2021).",
        "Label errors: 30 of the 90 Viral Pneumonia films are bacterial pneumonia by the source's own file names, 13 "
        "of 70 in training and 17 of 20 in the test set.",
        "Label errors: of the 111 Covid training films at least 11 are SARS, 3 have no finding and 2 other pneumonia "
        "by the source's metadata.",
        "Besides copies of films, 3 more test films are of patients who also stand in the training set; 16 Covid films "
        "have no known source, so there may be more.",
        "Shortcuts are enough: with a logistic regression, a thumbnail of 16x16 pixels reaches 0.92 on the 66 test "
        "films, and five numbers about the original files (width, height, aspect, mean, spread) 0.88.",
    ),
)


def known_issues(counts: Mapping[str, int]) -> tuple[str, ...]:
    """What is known to be wrong with a public data set, recognised by its classes and their total numbers of images.

    Parameters
    ----------
    counts : mapping of str to int
        Images of each class, all splits together.

    Returns
    -------
    tuple of str
        Empty for a set that is not known.

    Examples
    --------
    >>> len(known_issues({"Covid": 137, "Normal": 90, "Viral Pneumonia": 90})), known_issues({"Covid": 3})
    (5, ())
    """
    known, issues = _COVID19_ISSUES
    return issues if dict(counts) == known else ()
