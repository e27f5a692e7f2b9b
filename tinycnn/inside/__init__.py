"""Looking into a network: what it computes, where it looks, and whether to believe that."""

from tinycnn.inside.anatomy import anatomy
from tinycnn.inside.cam import feature_maps, grad_cam
from tinycnn.inside.feature_visualization import feature_visualization
from tinycnn.inside.heat import heat_map, inside_by_class, mass_inside, pointing_game
from tinycnn.inside.occlusion import occlusion
from tinycnn.inside.randomization import randomization_check
from tinycnn.inside.saliency import guided_backpropagation, integrated_gradients, saliency, smooth_grad
from tinycnn.inside.trace import trace

__all__ = [
    "anatomy",
    "feature_maps",
    "feature_visualization",
    "grad_cam",
    "guided_backpropagation",
    "heat_map",
    "inside_by_class",
    "integrated_gradients",
    "mass_inside",
    "occlusion",
    "pointing_game",
    "randomization_check",
    "saliency",
    "smooth_grad",
    "trace",
]
