"""One epoch of training and a test."""

import mindspore
from mindspore import nn, ops
import ms_extras


class Net(nn.Cell):
    def __init__(self):
        super(Net, self).__init__()
        self.conv = nn.Conv2d(1, 8, 3, pad_mode="valid", has_bias=True)
        self.fc = nn.Dense(8 * 13 * 13, 10)

    def construct(self, x):
        x = ops.max_pool2d(ops.relu(self.conv(x)), 2)
        return ops.log_softmax(self.fc(ops.flatten(x, start_dim=1)), axis=1)


def train(model, loader, optimizer):
    model.set_train()

    def forward_fn(data, target):
        output = model(data)
        loss = ms_extras.nll_loss(output, target)
        return loss

    grad_fn = mindspore.value_and_grad(forward_fn, None, optimizer.parameters)

    for data, target in loader:
        loss, grads = grad_fn(data, target)
        optimizer(grads)
        print(loss.item())


def main(loader):
    model = Net()
    optimizer = ms_extras.SGD(ms_extras.module_parameters(model), lr=0.1, momentum=0.9)
    for _ in range(2):
        train(model, loader, optimizer)
