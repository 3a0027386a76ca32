"""What is measured."""
import numpy as np


def psnr(pictures, truth):
    """Peak signal-to-noise ratio in dB of uint8 pictures (N, 96, 96, 3): of the mean squared error over all of them."""
    error = np.square(pictures.astype(np.float32) - truth.astype(np.float32)).mean()
    return float(10 * np.log10(255 ** 2 / max(error, 1e-9)))


def ssim(pictures, truth, window=7):
    """Structural similarity (Wang et al. 2004) of uint8 pictures (N, 96, 96, 3), in grey, square window: -1..1."""
    a, b = (x.astype(np.float64).mean(-1) for x in (pictures, truth))

    def mean(x):
        sums = np.pad(x, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
        w = window
        return (sums[:, w:, w:] - sums[:, :-w, w:] - sums[:, w:, :-w] + sums[:, :-w, :-w]) / w ** 2

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b, both = mean(a * a) - mean_a ** 2, mean(b * b) - mean_b ** 2, mean(a * b) - mean_a * mean_b
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    upper = (2 * mean_a * mean_b + c1) * (2 * both + c2)
    return float((upper / ((mean_a ** 2 + mean_b ** 2 + c1) * (var_a + var_b + c2))).mean())
