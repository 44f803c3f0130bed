"""Who is whom: the pairing of rows and columns with the greatest total similarity.

Own code, after weighing libraries. SciPy's ``linear_sum_assignment`` is the standard answer and costs an edge box
100 MB for one function; ``lapx`` is typed and takes 15 MB, ``lap`` takes 2 MB and has no types; ``munkres`` 3 is small
and typed, but a recent rewrite under a new maintainer, with thirty modules of other things. The exact method below is
thirty lines, works on lists because a frame holds a handful of people, and tests hold it to brute force and to the
condition of optimality.
"""

import math

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Indices = NDArray[np.intp]


def assign(similarity: Floats) -> tuple[Indices, Indices]:
    """Rows and columns of the best pairing of a (R, C) matrix; a similarity of 0 or less pairs nobody.

    When every row's favourite is another column, that is the optimum, and in most frames nothing more is to be done.
    """
    rows = np.flatnonzero((similarity > 0).any(axis=1)) if similarity.size else np.zeros(0, np.intp)
    columns = similarity[rows].argmax(axis=1) if len(rows) else rows
    if len(set(columns.tolist())) < len(rows):
        paired = _shortest_paths((-np.maximum(similarity[rows], 0)).tolist())
        columns = np.array(paired, np.intp)
        wanted = (columns >= 0) & (similarity[rows, columns] > 0)
        rows, columns = rows[wanted], columns[wanted]
    return rows, columns


def _shortest_paths(cost: list[list[float]]) -> list[int]:
    """Column of each row, -1 for none, at the least total cost.

    Successive shortest augmenting paths with potentials: R. Jonker, A. Volgenant, "A shortest augmenting path algorithm
    for dense and sparse linear assignment problems", Computing 38 (1987). At most R * R * C steps.
    """
    people, places = len(cost), len(cost[0])
    # As many spare columns as rows, at no cost: to stay alone is always possible.
    cost = [row + [0.0] * people for row in cost]
    height, depth = [0.0] * people, [0.0] * (places + people)
    owner = [-1] * (places + people)
    for start in range(people):
        best, came_from = [math.inf] * len(owner), [-1] * len(owner)
        open_columns = set(range(len(owner)))
        row, column, reached, path = start, -1, 0.0, []
        while True:
            for other in open_columns:
                through = reached + cost[row][other] - height[row] - depth[other]
                if through < best[other]:
                    best[other], came_from[other] = through, column
            column = min(open_columns, key=best.__getitem__)
            reached = best[column]
            if owner[column] < 0:
                break
            path.append(column)
            open_columns.remove(column)
            row = owner[column]
        height[start] += reached
        for other in path:
            height[owner[other]] += reached - best[other]
            depth[other] -= reached - best[other]
        while column >= 0:
            previous = came_from[column]
            owner[column] = owner[previous] if previous >= 0 else start
            column = previous
    pairs = {row: column for column, row in enumerate(owner[:places]) if row >= 0}
    return [pairs.get(row, -1) for row in range(people)]
