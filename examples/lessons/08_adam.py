# %% [markdown]
# # 8. Adam beside gradient descent, in a valley
#
# **Question.** All optimizers walk downhill, against the gradient g. Why is Adam (Kingma and Ba 2015) so much quicker
# than plain gradient descent when some directions are steep and others flat?
#
#     gradient descent     p = p - rate * g
#     with momentum        v = mu * v - rate * g,   p = p + v
#     Adam                 m = b1 * m + (1 - b1) * g            a running mean of the gradient
#                          s = b2 * s + (1 - b2) * g * g        a running mean of its square
#                          p = p - rate * (m / (1 - b1^t)) / (sqrt(s / (1 - b2^t)) + eps)
#
# Both means start at 0 and are too small at first. The divisors 1 - b^t at step t make up for that.
#
# **The valley.** L(a, b) = (a^2 + 200 b^2) / 2 has slope a along the valley and 200 b across it.

# %%
import numpy as np
import pictures

from tinycnn import SGD, Adam

STEEP = np.array([1.0, 200.0])
START = np.array([-4.0, 0.35])


def loss(p):
    return 0.5 * np.sum(STEEP * p * p, axis=-1)


def adam_by_hand(rate, steps, b1=0.9, b2=0.999, eps=1e-7):
    p, m, s, path = START.copy(), 0.0, 0.0, [START.copy()]
    for t in range(1, steps + 1):
        g = STEEP * p
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * g * g
        p -= rate * (m / (1 - b1**t)) / (np.sqrt(s / (1 - b2**t)) + eps)
        path.append(p.copy())
        if t <= 3:
            print(f"step {t}: g = ({g[0]:6.2f}, {g[1]:6.2f})  p = ({p[0]:.3f}, {p[1]:.3f})")
    return np.array(path)


def walk(optimizer, steps):
    p, path = START.copy(), [START.copy()]
    for _ in range(steps):
        optimizer.step([("p", p, STEEP * p)])  # name, parameter, gradient: the parameter is changed in place
        path.append(p.copy())
    return np.array(path)


by_hand = adam_by_hand(0.2, 80)

# %% [markdown]
# The gradient across the valley is far larger than the one along it. Adam's first step is as long in both directions
# all the same, and its length is the learning rate: the divisors make m into g and s into g*g, and g / |g| is 1 or -1.
#
#     > step 1: g = ( -4.00,  70.00)  p = (-3.800, 0.150)
#     > step 2: g = ( -3.80,  30.00)  p = (-3.600, -0.032)
#     > step 3: g = ( -3.60,  -6.36)  p = (-3.401, -0.161)
#
# Now the engine's optimizers. Plain descent makes b into (1 - 200 rate) b, and that factor is beyond -1 if the rate is
# above 2/200 = 0.01: every step across the valley overshoots by more than it came from. That limit is set by the
# steepest direction, and the flat one must wait:

# %%
paths = {
    "descent 0.009": walk(SGD(0.009), 80),
    "descent 0.0102": walk(SGD(0.0102), 80),
    "momentum 0.9": walk(SGD(0.009, momentum=0.9), 80),
    "Adam 0.2": walk(Adam(0.2), 80),
}
assert np.allclose(paths["Adam 0.2"], by_hand, atol=1e-5)  # they differ in where eps is added
print("loss after             0        10        40        80 steps")
for name, path in paths.items():
    print(f"{name:15}" + "".join(f"{loss(path[t]):10.3f}" for t in (0, 10, 40, 80)))

# %% [markdown]
# Descent with a rate just above the limit ends higher than it began. Just below, it still creeps along the valley:
#
#     > loss after             0        10        40        80 steps
#     > descent 0.009      20.250     6.818     3.881     1.883
#     > descent 0.0102     20.250    33.358   285.883  6509.893
#     > momentum 0.9       20.250    10.835     0.147     0.006
#     > Adam 0.2           20.250     3.408     0.206     0.001
#
# For plain descent a step is as long as the slope, so along the valley it is slow by the ratio of the two slopes. That
# ratio, 200 here, is called the *condition number*. Momentum helps too: it goes on in a direction that stays, and what
# zigzags cancels out.
#
# **Is Adam blind to scale?** Multiply the loss by 1000. Descent takes steps 1000 times as long and explodes. Adam does
# not notice:


# %%
def first_steps(factor):
    moved = []
    for optimizer in (SGD(0.009), Adam(0.2)):
        p = START.copy()
        optimizer.step([("p", p, factor * STEEP * p)])
        moved.append(np.abs(p - START).max())
    return moved


for factor in (1, 1000):
    print("loss times {:4}: first step of descent {:8.2f}, of Adam {:.2f}".format(factor, *first_steps(factor)))

# %% [markdown]
#     > loss times    1: first step of descent     0.63, of Adam 0.20
#     > loss times 1000: first step of descent   630.00, of Adam 0.20

# %%
figure, axes = pictures.panels(1, 2, 12, 4.0, width_ratios=[1.5, 1])
a, b = np.meshgrid(np.linspace(-4.6, 1.2, 200), np.linspace(-0.5, 0.5, 200))
valley, curves = axes[0]
valley.contour(a, b, loss(np.stack([a, b], axis=-1)), levels=2.0 ** np.arange(-4, 6), colors="#c0c0c0", linewidths=0.7)
shown = [("descent 0.009", "o"), ("momentum 0.9", "s"), ("Adam 0.2", "^")]
for number, (name, marker) in enumerate(shown):
    style = {"marker": marker, "markersize": 3, "linewidth": 1.2}
    pictures.curve(valley, paths[name][:, 0], paths[name][:, 1], number, name, **style)
    pictures.curve(curves, np.arange(81), loss(paths[name]), number, name, marker=marker, markevery=10, markersize=4)
pictures.curve(
    curves, np.arange(81), loss(paths["descent 0.0102"]), 3, "descent 0.0102", marker="v", markevery=10, markersize=4
)
valley.set_ylim(-0.5, 0.5)
valley.legend(fontsize=8, loc="upper right")
curves.set_yscale("log")
curves.legend(fontsize=8)
pictures.tidy(valley, "80 steps from the left; lines of equal loss", "a, the flat direction", "b, the steep direction")
pictures.tidy(curves, "loss", "step", "L(a, b)")
pictures.save(figure, "08_adam", "Descent zigzags in the steep direction and creeps in the flat one; Adam does not")

# %% [markdown]
# ## What you saw
#
# Adam divides each parameter's step by the usual size of its gradient, so steep and flat directions move alike, and the
# learning rate is a length: about how far a parameter moves per step.
#
# ## Try
#
# 1. Leave out the divisors 1 - b^t. How long is the first step then?
# 2. Turn the valley by 45 degrees (L = (a + b)^2 / 4 + 200 (a - b)^2 / 4). Adam looks at a and b one by one: does it
#    still help?
