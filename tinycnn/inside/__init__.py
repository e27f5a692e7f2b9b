"""Looking into a network: where it looks, and whether to believe that."""

from tinycnn.inside.anatomy import anatomy
from tinycnn.inside.saliency import feature_maps, grad_cam, inside_by_class, mass_inside, randomization_check
from tinycnn.inside.trace import trace

__all__ = [
    "anatomy",
    "feature_maps",
    "grad_cam",
    "inside_by_class",
    "mass_inside",
    "randomization_check",
    "trace",
]
