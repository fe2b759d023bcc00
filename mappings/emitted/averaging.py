"""Averaged weights: torch.optim.swa_utils."""

import copy

from mindspore import Tensor, nn

from mappings.emitted.nn_normalization import set_batch_norm


def get_ema_avg_fn(decay=0.999):
    """torch.optim.swa_utils.get_ema_avg_fn."""

    def average(averaged, parameter, count):
        return decay * averaged + (1 - decay) * parameter

    return average


class AveragedModel(nn.Cell):
    """torch.optim.swa_utils.AveragedModel: a copy of a network whose parameters are running averages."""

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        self.module = copy.deepcopy(model)
        self.avg_fn = avg_fn
        self.use_buffers = use_buffers
        self.n_averaged = 0

    def construct(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    def update_parameters(self, model):
        """Takes the model's present parameters into the average."""
        for own, other in zip(self.module.get_parameters(), model.get_parameters()):
            if self.n_averaged == 0 or not (own.requires_grad or self.use_buffers):
                value = other.value()
            elif self.avg_fn is not None:
                value = self.avg_fn(own.value(), other.value(), self.n_averaged)
            else:
                value = own + (other - own) / (self.n_averaged + 1)
            own.set_data(Tensor(value.asnumpy(), own.dtype))
        self.n_averaged += 1


def update_bn(loader, model, device=None):
    """torch.optim.swa_utils.update_bn: BatchNorm statistics as the plain average over the batches of a loader."""
    norms = [cell for _, cell in model.cells_and_names() if isinstance(cell, (nn.BatchNorm1d, nn.BatchNorm2d))]
    if not norms:
        return
    was_training, momenta = model.training, [cell.momentum for cell in norms]
    model.set_train(True)
    for count, batch in enumerate(loader):
        for cell in norms:
            set_batch_norm(cell, momentum=1.0 / (count + 1))
        given = batch[0] if isinstance(batch, (list, tuple)) else batch
        if given.size:  # of no elements MindSpore would average 0
            model(given)
    for cell, momentum in zip(norms, momenta):
        set_batch_norm(cell, momentum=momentum)
    model.set_train(was_training)
