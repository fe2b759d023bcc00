"""Layers whose weight is computed from other parameters, as models write them."""

import torch
from torch import nn
from torch.nn.utils import parametrizations, remove_weight_norm, spectral_norm, weight_norm
from torch.nn.utils.parametrize import remove_parametrizations


class Old(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = weight_norm(nn.Conv1d(4, 6, 4, padding=2, groups=2), name="weight", dim=2)
        self.body = nn.ModuleList([weight_norm(nn.ConvTranspose1d(6, 5, 4, 2, 1)), nn.ReLU()])
        self.last = nn.Linear(5, 3)
        self.last = spectral_norm(self.last)

    def forward(self, x):
        x = self.first(x)[:, :, :-1]
        for layer in self.body:
            x = layer(x)
        return self.last(x.transpose(1, 2))

    def remove(self):
        for layer in self.modules():
            if isinstance(layer, (nn.Conv1d, nn.ConvTranspose1d)) and hasattr(layer, "weight_g"):
                remove_weight_norm(layer)


class New(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = parametrizations.weight_norm(nn.Conv1d(4, 6, 3, padding=1), dim=2)
        self.last = parametrizations.spectral_norm(nn.Linear(6, 3), n_power_iterations=2)

    def forward(self, x):
        return self.last(torch.relu(self.first(x)).transpose(1, 2))

    def remove(self):
        for layer in (self.first, self.last):
            remove_parametrizations(layer, "weight")
