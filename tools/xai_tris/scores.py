"""The two scores of XAI-TRIS: precision and EMD score."""
import numpy as np
from ot.lp import emd
from scipy.spatial.distance import cdist

from data import SIDE

COST = cdist(*(np.indices((SIDE, SIDE)).reshape(2, -1).T,) * 2)


def precision(truth, map):
    """Share of the n relevant pixels that are among the n pixels of largest |map|."""
    n = int(truth.sum())
    nonzero = np.flatnonzero(map)
    k = min(n, len(nonzero))
    top = nonzero[np.argpartition(np.abs(map[nonzero]), -k)[-k:]] if k else nonzero
    return truth[top].sum() / n


def emd_score(truth, map):
    """1 − the earth mover's distance between |map| and the relevant pixels, as a share of the image's diagonal; 0 for an empty map."""
    size = np.abs(map).astype(float)
    if size.sum() == 0:
        return 0.
    _, log = emd(truth / truth.sum(), size / size.sum(), COST, numItermax=200000, log=True)
    return 1 - log['cost'] / np.sqrt(2 * SIDE ** 2)


def scores(truth, maps):
    """Both scores, averaged over images."""
    maps = maps.reshape(len(maps), -1)
    return tuple(float(np.mean([of(t, m) for t, m in zip(truth, maps)])) for of in (precision, emd_score))
