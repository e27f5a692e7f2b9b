"""Named architectures."""

from tinycnn.lazy import missing
from tinycnn.models.autoencoder import add_noise as add_noise
from tinycnn.models.autoencoder import copy_encoder as copy_encoder
from tinycnn.models.autoencoder import denoise as denoise
from tinycnn.models.autoencoder import denoising_autoencoder as denoising_autoencoder
from tinycnn.models.autoencoder import fit_autoencoder as fit_autoencoder
from tinycnn.models.networks import deep_encoder as deep_encoder
from tinycnn.models.networks import film_cnn as film_cnn
from tinycnn.models.networks import small_resnet as small_resnet
from tinycnn.models.networks import small_vgg as small_vgg
from tinycnn.models.report_cnn import report_cnn as report_cnn

__getattr__ = missing(__name__)
