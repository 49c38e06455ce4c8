"""How far the workers of a crowd agree beyond chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def krippendorff_alpha(tasks: ArrayLike, workers: ArrayLike, labels: ArrayLike) -> float | None:
    r"""Krippendorff's alpha for nominal labels with missing answers.

    .. math:: \alpha = 1 - \frac{D_o}{D_e}, \quad
        D_o = \frac1n \sum_u \frac{m_u^2 - \sum_c m_{uc}^2}{m_u - 1}, \quad
        D_e = \frac{n^2 - \sum_c n_c^2}{n (n - 1)}

    over tasks :math:`u` with :math:`m_u \ge 2` answers, :math:`n_c` of all :math:`n` of these being label :math:`c`.
    O(answers), whatever the number of classes. Of two answers of one worker to one task the last one counts.
    K. Krippendorff, *Computing Krippendorff's Alpha-Reliability* (2011).

    Args:
        tasks, workers, labels: equally long arrays of any sortable ids, one element an answer.

    Returns:
        1 for full agreement, 0 for chance, below 0 for less than chance; 1 when only one label was ever given.
        ``None`` if no task has two answers.
    """
    columns = [np.unique(np.asarray(column), return_inverse=True)[1].astype(np.int64) for column in (tasks, workers)]
    names, label = np.unique(np.asarray(labels), return_inverse=True)
    if len(label) == 0:
        return None
    key = columns[0] * (columns[1].max() + 1) + columns[1]
    # np.unique finds first occurrences, so look from the end to keep the last.
    last = len(key) - 1 - np.unique(key[::-1], return_index=True)[1]
    task, label = columns[0][last], label[last].astype(np.int64)
    size = np.bincount(task)
    paired = size[task] >= 2
    task, label = task[paired], label[paired]
    n = len(task)
    if n == 0:
        return None
    cells, counts = np.unique(task * len(names) + label, return_counts=True)
    m = size[cells // len(names)].astype(np.float64)
    # m_u² - Σ_c m_uc² summed cell by cell: each cell adds m_uc (m_u - m_uc).
    observed = float((counts * (m - counts) / (m - 1)).sum()) / n
    totals = np.bincount(label).astype(np.float64)
    expected = float(n * n - (totals**2).sum()) / (n * (n - 1.0))
    return 1.0 if expected == 0 else 1.0 - observed / expected
