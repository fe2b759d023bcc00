"""A ported network with every case that renames a weight: fused, shared, tied, filled and four-axis ones."""

import mindspore
import numpy as np
from mindspore import Parameter, Tensor, nn


class Block(nn.Cell):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2dBnAct(3, 4, 3, pad_mode="pad", padding=1, has_bn=True, activation="relu")
        self.down = nn.SequentialCell(
            nn.Conv2dBnAct(4, 4, 3, has_bn=True),
            nn.Conv2dBnAct(4, 4, 3, has_bn=True, activation="relu", has_bias=True),
            nn.Dense(4, 5),
        )


class Net(nn.Cell):
    def __init__(self, classes=7, dtype=mindspore.float32):
        super().__init__()
        self.block = Block()
        self.bn = nn.BatchNorm2d(4, affine=False)
        self.ln = nn.LayerNorm((5,))
        self.conv = nn.Conv1d(4, 6, 3, has_bias=True)
        self.emb = nn.Embedding(classes, 8, dtype=dtype)
        self.head = nn.Dense(8, classes, has_bias=False, dtype=dtype)
        self.head.weight = self.emb.embedding_table
        self.lstm = nn.LSTM(3, 4, 2)
        self.attention = nn.MultiheadAttention(8, 2)
        self.a = nn.Dense(2, 2)
        self.b = self.a
        self.index = Parameter(Tensor(np.arange(6).reshape(2, 3), mindspore.int64), requires_grad=False)
        self.parts = nn.CellList([nn.Dense(2, 3), nn.PReLU()])


class TwoNames(nn.Cell):
    def __init__(self):
        super().__init__()
        self.a = Parameter(Tensor(np.ones(2), mindspore.float32), name="same")
        self.b = Parameter(Tensor(np.ones(2), mindspore.float32), name="same")


def broken():
    raise RuntimeError("no such size\nsecond line")
