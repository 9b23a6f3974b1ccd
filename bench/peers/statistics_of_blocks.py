"""Blocks in, ratios out. A block holds each contestant's visits once in order and once in reverse (ABBA), so that a
steady drift of the machine cancels; what is left between blocks is the noise that the interval is made of."""
import math

# Student's t, two-sided 95 %, by degrees of freedom.
T95 = [None, 12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
       2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042]


def t95(freedom):
    # Beyond the table a first-order correction of the normal quantile is within 0.001.
    return T95[freedom] if freedom < len(T95) else 1.95996 * (1 + 1.2105 / freedom)


def log_mean(values):
    return sum(map(math.log, values)) / len(values)


def interval(logs):
    """Geometric mean and its t-interval, from one log per block."""
    n = len(logs)
    mean = sum(logs) / n
    if n < 2:
        return {"mean": math.exp(mean), "ci95": None}
    half = t95(n - 1) * math.sqrt(sum((x - mean) ** 2 for x in logs) / (n - 1) / n)
    return {"mean": math.exp(mean), "ci95": [math.exp(mean - half), math.exp(mean + half)]}


def time_of(blocks, name):
    """Milliseconds of one contestant: geometric mean over blocks."""
    return interval([log_mean(block[name]) for block in blocks])


def ratio(blocks, above, below):
    """above / below, paired by block."""
    return interval([log_mean(block[above]) - log_mean(block[below]) for block in blocks])
