"""What is known, and what can be measured, of chest films before any network sees them."""

from tinycnn.study.films.audit import Audit, audit
from tinycnn.study.films.lung_field import lung_field_mask
from tinycnn.study.films.phantoms import chest_phantom_masks, chest_phantoms

__all__ = [
    "Audit",
    "audit",
    "chest_phantom_masks",
    "chest_phantoms",
    "lung_field_mask",
]
