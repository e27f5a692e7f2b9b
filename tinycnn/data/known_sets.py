"""What is known of a public data set beyond its pixels: which films show the same patient, and who published them."""

# "Covid-19 Image Dataset" (P. Raikote, Kaggle, CC BY-SA 4.0; 251 training and 66 test images).  The patients were
# found by matching its images with the collections they were taken from: the covid-chestxray-dataset's metadata.csv
# (J. P. Cohen, P. Morrison and L. Dao, arXiv:2006.11988) and, for the children, the file names of D. Kermany et al.
# (Cell 172, 2018; "person113").  Only patients on both sides of the published split are listed, and 16 of the
# Covid films have no known source, so this is a lower bound.
_COVID19_IMAGE_DATASET = {
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


def known_patients(paths):
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
    patients = {path: patient for patient, films in _COVID19_IMAGE_DATASET.items() for path in films}
    return patients if set(patients) <= set(paths) else {}


def known_sources(paths):
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

    def source(path):
        if "/Covid/" not in path:
            return "Kermany"
        return "Figure 1" if "/COVID-" in path else "Cohen and others"

    return {path: source(path) for path in paths}
