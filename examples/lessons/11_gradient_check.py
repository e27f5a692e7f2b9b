# %% [markdown]
# # 11. Checking gradients: random upstream, kinks, float64
#
# **Question.** A wrong backward pass rarely crashes. The network trains, only worse. How can one be sure of it? Compare
# it with *central differences*, which know nothing of the backward pass:
#
#     dL/dx[j]  ~  ( L(x + h e_j) - L(x - h e_j) ) / 2h        off by about h^2, and by rounding / h
#
# with e_j 1 at j and 0 elsewhere, L = sum(u * y), y the layer's output and u what is handed to `backward`. Three things
# decide whether the check is worth anything: u, the step h and its precision, and x (Goodfellow et al., *Deep
# Learning*, 2016, section 11.5.5).
#
# **First: a random u.** A gradient of ones looks natural, and hides mistakes. Here are three layers whose backward pass
# is wrong, each in a common way:

# %%
import numpy as np
import pictures

import tinycnn
from tinycnn import BatchNorm, Conv2D, Dense
from tinycnn.reference_training import numerical_gradient


class ReversedDense(Dense):
    """Hands the columns of its upstream gradient on in the wrong order."""

    def backward(self, grad_y, input_grad=True):
        super().backward(grad_y)  # what reaches the weights is right
        return np.ascontiguousarray(grad_y[:, ::-1]) @ self.params["kernel"].T


class FrozenNorm(BatchNorm):
    """Takes the mean of the batch for a constant."""

    def backward(self, grad_y, input_grad=True):
        grad_x = super().backward(grad_y)
        deviation = np.sqrt(self.last_input.var(axis=0) + self.epsilon)
        return grad_x + self.params["gamma"] / deviation * grad_y.mean(axis=0)


class UnturnedConv(Conv2D):
    """Forgets to turn the kernel around."""

    def backward(self, grad_y, input_grad=True):
        kernel = self.params["kernel"].copy()
        self.params["kernel"][...] = kernel[::-1, ::-1]
        grad_x = super().backward(grad_y)
        self.params["kernel"][...] = kernel
        return grad_x


def error(layer, x, u):
    """Largest difference between the input's gradient and finite differences."""
    layer.forward(x, training=True)
    numeric = numerical_gradient(lambda x: np.sum(u * layer.forward(x, training=True)), x)
    layer.forward(x, training=True)
    return np.abs(layer.backward(u) - numeric).max()


rng = np.random.default_rng(0)
flat, image = rng.standard_normal((5, 4)), rng.standard_normal((1, 5, 5, 2))
print("input gradient's error with     ones   random u")
for layer, x in ((ReversedDense(4), flat), (FrozenNorm(), flat), (UnturnedConv(3, 3, padding="same"), image)):
    u = rng.standard_normal(layer.forward(x).shape)
    print(f"{type(layer).__name__:25} {error(layer, x, np.ones_like(u)):10.2f} {error(layer, x, u):10.2f}")

# %% [markdown]
#     > input gradient's error with     ones   random u
#     > ReversedDense                   0.00       3.78
#     > FrozenNorm                      1.88       0.55
#     > UnturnedConv                    0.66       3.15
#
# Ones pass the first: a sum does not care for the order of what it adds. They catch the convolution, but at the edge of
# the image only: inside, all weights are added up whichever way they stand.
#
# **Second: float64.** The smaller h, the smaller the formula's error, and the larger that of rounding. In float32 even
# the best h leaves too few digits to tell a small mistake from rounding:

# %%
steps = 10.0 ** np.arange(-11, 0.1, 0.5)
errors = {}
for dtype in (np.float32, np.float64):
    x, h = dtype(1.3), steps.astype(dtype)
    difference = (np.sin(x + h) - np.sin(x - h)) / (2 * h)
    errors[dtype] = np.maximum(abs(difference.astype(float) / np.cos(1.3) - 1), 1e-16)
    best = int(np.argmin(errors[dtype]))
    least, h = np.log10(errors[dtype][best]), np.log10(steps[best])
    print(f"{dtype.__name__}: least error 10^{least:.0f}, at h = 10^{h:.0f}")

# %% [markdown]
#     > float32: least error 10^..., at h = 10^...
#     > float64: least error 10^..., at h = 10^...
#
# **Third: kinks.** At a kink of ReLU, or a tie of a max, there is no derivative. If x lies closer to it than h, the
# difference straddles the kink:

# %%
relu = tinycnn.ReLU()
for value in (0.5, 0.000001, 0.0):
    x = np.array([[value]])
    numeric = numerical_gradient(lambda x: relu.forward(x).sum(), x)
    relu.forward(x)
    print(f"x = {value}: backward {relu.backward(np.ones((1, 1)))[0, 0]:.1f}, finite difference {numeric[0, 0]:.2f}")

# %% [markdown]
#     > x = 0.5: backward 1.0, finite difference 1.00
#     > x = 1e-06: backward 1.0, finite difference 0.55
#     > x = 0.0: backward 0.0, finite difference 0.50
#
# So draw x from a continuous distribution, no integers and no zeros. `tinycnn.gradcheck` does all that: random u, every
# parameter, float64, and where the two disagree it looks with a smaller h whether a kink is to blame:

# %%
x = rng.standard_normal((2, 5, 5, 2))
for layer in (Conv2D(3, 3, padding="same", activation="relu"), UnturnedConv(3, 3, padding="same", activation="relu")):
    table = tinycnn.gradcheck(layer, x, raise_on_error=False).table
    print(f"{type(layer).__name__}:", {row.name: row.ok for row in table})

# %% [markdown]
#     > Conv2D: {'input': True, 'kernel': True, 'bias': True}
#     > UnturnedConv: {'input': False, 'kernel': True, 'bias': True}

# %%
figure, axes = pictures.panels(1, 2, 12, 3.7)
for number, (dtype, found) in enumerate(errors.items()):
    pictures.curve(axes[0, 0], steps, found, number, dtype.__name__, marker="os"[number], markersize=4)
axes[0, 0].set(xscale="log", yscale="log")
axes[0, 0].legend(fontsize=9)
pictures.tidy(axes[0, 0], "a central difference of sin at 1.3", "step h", "relative error")
u, handed_back = np.pad([[[[1.0]]]], ((0, 0), (3, 3), (3, 3), (0, 0))), []  # a single 1 in the middle
for kind in (Conv2D, UnturnedConv):
    layer = kind(1, 3, padding="same", use_bias=False)
    layer.forward(u)
    layer.params["kernel"][...] = np.arange(1.0, 10).reshape(3, 3, 1, 1)
    handed_back.append(layer.backward(u)[0, :, :, 0])
both = np.concatenate(handed_back, axis=1)
pictures.show(axes[0, 1], both, "what one output hands back: right (left half), and unturned", ".0f")
pictures.save(figure, "11_gradient_check", "Left of each valley rounding errs, right of it the formula")

# %% [markdown]
# ## What you saw
#
# A check is as good as its inputs: random upstream gradients, float64, points away from kinks. Check small layers: each
# number takes two forward passes.
#
# ## Try
#
# 1. Write a layer `y = x * x` with a backward pass of `x * grad_y` (the 2 is missing) and check it.
# 2. Check MaxPool2D on random numbers, then on zeros. What does the table say of kinks?
