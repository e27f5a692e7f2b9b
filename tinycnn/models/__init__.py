"""Named architectures."""

from tinycnn.models.autoencoder import add_noise, copy_encoder, denoise, denoising_autoencoder, fit_autoencoder
from tinycnn.models.film_cnn import film_cnn
from tinycnn.models.networks import deep_encoder, small_resnet, small_vgg
from tinycnn.models.report_cnn import report_cnn

__all__ = [
    "add_noise",
    "copy_encoder",
    "deep_encoder",
    "denoise",
    "denoising_autoencoder",
    "film_cnn",
    "fit_autoencoder",
    "report_cnn",
    "small_resnet",
    "small_vgg",
]
