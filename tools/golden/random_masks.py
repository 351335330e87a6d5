"""The random masks of heatlens's RISE and D-RISE, without its code; needs NumPy only.

ChaCha8 (Bernstein 2008) with a 64-bit block number and a 64-bit stream number. A key is 32 bytes: seed and use as 64-bit
numbers, then zeros. The key of mask n is read from block 2^63 of stream n of that key.
"""

import numpy as np

EXPLAIN = 6  # random numbers of explanation methods
CONSTANTS = np.frombuffer(b"expand 32-byte k", "<u4")
COLUMNS = [(0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15)]
DIAGONALS = [(0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14)]


def words(key, stream, first, blocks):
    """Words of `blocks` blocks, starting at block `first`."""
    numbers = np.arange(blocks, dtype=np.uint64) + np.uint64(first)
    state = np.zeros((16, blocks), np.uint32)
    state[:4], state[4:12] = CONSTANTS[:, None], key[:, None]
    state[12], state[13] = numbers & np.uint64(0xFFFFFFFF), numbers >> np.uint64(32)
    state[14], state[15] = stream & 0xFFFFFFFF, stream >> 32
    x = state.copy()
    for _ in range(4):  # two rounds each
        for a, b, c, d in COLUMNS + DIAGONALS:
            for target, source, changed, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                x[target] += x[source]
                x[changed] ^= x[target]
                x[changed] = x[changed] << np.uint32(turn) | x[changed] >> np.uint32(32 - turn)
    return (x + state).T.ravel()


def mask(seed, number, grid, probability, size):
    """Cells that are visible with this probability, enlarged bilinearly and shifted by less than a cell."""
    key = np.array([seed, EXPLAIN, 0, 0], "<u8").view("<u4")
    key = words(key, number, 1 << 63, 1)[:8]
    drawn = iter(words(key, 0, 0, (grid * grid + 64) // 16 + 1).tolist())
    cells = np.array([(next(drawn) >> 8) * 2.0**-24 < probability for _ in range(grid * grid)], np.float64)

    def below(bound):
        """Lemire 2019, algorithm 5."""
        while True:
            product = (next(drawn) | next(drawn) << 32) * bound
            if product % 2**64 >= (-bound % 2**64) % bound:
                return product >> 64

    sides = [-(-side // grid) for side in size]
    corners = [below(side) for side in sides]
    axes = []
    for side, corner, length in zip(sides, corners, size, strict=True):
        at = (np.arange(length) + corner + 0.5) * grid / (side * (grid + 1)) - 0.5
        at = at.clip(0, grid - 1)
        axes.append((1 - abs(at[:, None] - np.arange(grid))).clip(0))
    return axes[0] @ cells.reshape(grid, grid) @ axes[1].T


def masks(count, seed, grid, probability, size):
    return np.stack([mask(seed, number, grid, probability, size) for number in range(count)])
