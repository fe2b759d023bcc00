"""What scipy makes is no tensor, nor what numpy adds to a result that becomes known late."""

from __future__ import annotations

from porter.convert import convert_source

SCIPY = """
import numpy as np
import scipy.sparse as sp
import torch


def normalize(matrix):
    inverse = np.power(np.array(matrix.sum(1)), -1).flatten()
    return sp.diags(inverse).dot(matrix)


def load(rows, columns, n):
    graph = sp.coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, n))
    graph = graph + graph.T.multiply(graph.T > graph) - graph.multiply(graph.T > graph)
    graph = normalize(graph + sp.eye(n))
    return torch.FloatTensor(np.array(graph.todense()))
"""

LATE = """
import numpy as np
import torch


class Agent:
    def __init__(self, net: torch.nn.Linear):
        self.net = net

    def act(self, state):
        return self.net(torch.FloatTensor(state)).cpu().data.numpy().flatten()


def main(states, kind):
    for state in states:
        action = (agent.act(state) + np.random.normal(0, 1.0, size=3)).clip(-1, 1)
    return action


if __name__ == "__main__":
    agent = Agent(torch.nn.Linear(3, 3))
    main([], 1)
"""


def test_what_scipy_makes_is_left_alone() -> None:
    result = convert_source(SCIPY)
    assert not result.diagnostics
    assert "graph.T.multiply(graph.T > graph)" in result.text and "sp.diags(inverse).dot(matrix)" in result.text


def test_an_array_that_becomes_known_late_is_no_tensor() -> None:
    result = convert_source(LATE)
    assert not result.diagnostics and "size=3)).clip(-1, 1)" in result.text
