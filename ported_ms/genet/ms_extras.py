"""Functions and classes of PyTorch, in plain MindSpore, for what mindspore.nn and mindspore.ops do not have as it is."""

import bisect
import contextlib
import io
import json
import math
import os
import pathlib
import pickle
import shutil
import tempfile
import zipfile
from typing import Any
import mindspore
import mindspore.dataset.vision as vision
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, amp, nn, ops
from mindspore.common.initializer import Constant, TruncatedNormal, initializer
from mindspore.communication import get_group_size, init
from mindspore.train.amp import AmpDecorator, AmpLevel


def as_tuple(value: Any) -> Any:
    """A list as the tuple that MindSpore wants; anything else unchanged."""
    return tuple(value) if isinstance(value, list) else value


class AdaptiveAvgPool2d(nn.AdaptiveAvgPool2d):
    """torch.nn.AdaptiveAvgPool2d."""

    def __init__(self, output_size):
        super().__init__(as_tuple(output_size))


class Compose:
    """torchvision.transforms.Compose."""

    def __init__(self, transforms):
        self.transforms = transforms

    def __call__(self, image):
        for transform in self.transforms:
            image = transform(image)
        return image


class CrossEntropyLoss(nn.Cell):
    """torch.nn.CrossEntropyLoss: labels of any whole type, or probabilities of the classes."""

    def __init__(
        self,
        weight=None,
        size_average=None,
        ignore_index=-100,
        reduce=None,
        reduction='mean',
        label_smoothing=0.0,
    ):
        super().__init__()
        self.weight = None if weight is None else Parameter(weight, name='weight', requires_grad=False)
        self.ignore_index = ignore_index
        self.reduction = reduction
        self.label_smoothing = label_smoothing

    def construct(self, input, target):
        if target.dtype == mindspore.int64:
            target = target.astype(mindspore.int32)
        return ops.cross_entropy(
            input, target, self.weight, self.ignore_index, self.reduction, self.label_smoothing
        )


class Sampler:
    """torch.utils.data.Sampler."""

    def __init__(self, data_source=None):
        pass

    def __class_getitem__(cls, item):
        return cls

    def __iter__(self):
        raise NotImplementedError


class BatchSampler(Sampler):
    """torch.utils.data.BatchSampler."""

    def __init__(self, sampler, batch_size, drop_last):
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self):
        batch = []
        for index in self.sampler:
            batch.append(index)
            if len(batch) == self.batch_size:
                yield batch
                batch = []
        if batch and not self.drop_last:
            yield batch

    def __len__(self):
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole if self.drop_last or not rest else whole + 1


class BatchSource:
    """What a mindspore.dataset.GeneratorDataset with worker threads reads: it prepares batches and gives their numbers."""

    def __init__(self, fetch, batches):
        self.fetch = fetch
        self.batches = batches
        self.ready = {}

    def __getitem__(self, index):
        self.ready[int(index)] = self.fetch(self.batches[index])
        return (np.int64(index),)

    def __len__(self):
        return len(self.batches)


def random_numbers(generator=None):
    """numpy's random numbers: those that mindspore.set_seed seeds, or a stream of a generator's own seed."""
    if generator is None:
        return np.random.mtrand._rand
    return generator.numbers


def permutation(count, generator=None):
    """A random order of range(count)."""
    return random_numbers(generator).permutation(count).tolist()


class RandomSampler(Sampler):
    """torch.utils.data.RandomSampler."""

    def __init__(self, data_source, replacement=False, num_samples=None, generator=None):
        self.data_source = data_source
        self.replacement = replacement
        self.num_samples = len(data_source) if num_samples is None else num_samples
        self.generator = generator

    def __iter__(self):
        count = len(self.data_source)
        if self.replacement:
            # a few at a time: scripts ask for samples without end by a huge number of them
            numbers = random_numbers(self.generator)
            for first in range(0, self.num_samples, 32):
                yield from numbers.randint(0, count, min(32, self.num_samples - first)).tolist()
            return
        for _ in range(self.num_samples // count):
            yield from permutation(count, self.generator)
        yield from permutation(count, self.generator)[: self.num_samples % count]

    def __len__(self):
        return self.num_samples


class SequentialSampler(Sampler):
    """torch.utils.data.SequentialSampler."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


def default_collate(batch):
    """torch.utils.data.default_collate: samples stacked into tensors, whatever they are nested in."""
    first = batch[0]
    if isinstance(first, Tensor):
        return ops.stack(list(batch))
    if isinstance(first, (np.ndarray, np.generic)):
        return Tensor(np.stack(batch))
    if isinstance(first, bool):
        return Tensor(np.array(batch))
    if isinstance(first, float):
        return Tensor(np.array(batch, np.float64))
    if isinstance(first, int):
        return Tensor(np.array(batch, np.int64))
    if isinstance(first, (str, bytes)):
        return list(batch)
    if isinstance(first, dict):
        return {key: default_collate([sample[key] for sample in batch]) for key in first}
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(default_collate(list(column)) for column in zip(*batch)))
    if isinstance(first, (list, tuple)):
        return [default_collate(list(column)) for column in zip(*batch)]
    raise TypeError(f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first)}")


def default_convert(data):
    """torch.utils.data.default_convert: arrays become tensors, nothing is stacked."""
    if isinstance(data, (np.ndarray, np.generic)):
        return Tensor(data)
    if isinstance(data, dict):
        return {key: default_convert(value) for key, value in data.items()}
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(value) for value in data))
    return [default_convert(value) for value in data] if isinstance(data, (list, tuple)) else data


class DataLoader:
    """torch.utils.data.DataLoader: batches as tensors. With num_workers the samples are read in that many threads."""

    def __init__(
        self, dataset, batch_size=1, shuffle=None, sampler=None, batch_sampler=None, num_workers=0, collate_fn=None,
        pin_memory=False, drop_last=False, timeout=0, worker_init_fn=None, multiprocessing_context=None, generator=None,
        *, prefetch_factor=None, persistent_workers=False, pin_memory_device="", in_order=True,
    ):  # fmt: skip
        self.dataset = dataset
        self.num_workers = num_workers
        self.worker_init_fn = worker_init_fn
        self.generator = generator
        self.indexed = hasattr(dataset, "__getitem__")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if not self.indexed and (shuffle or sampler is not None or batch_sampler is not None):
            raise ValueError("a data set without __getitem__ takes neither shuffle nor a sampler")
        if batch_sampler is not None:
            batch_size, drop_last = None, False
        if sampler is None and self.indexed:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_sampler is None and batch_size is not None and self.indexed:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        whole = batch_sampler is not None or batch_size is not None
        self.collate_fn = collate_fn if collate_fn is not None else default_collate if whole else default_convert

    def __class_getitem__(cls, item):
        return cls

    def __len__(self):
        if self.indexed:
            return len(self.sampler if self.batch_sampler is None else self.batch_sampler)
        if self.batch_size is None:
            return len(self.dataset)
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole if self.drop_last or not rest else whole + 1

    def __iter__(self):
        if not self.indexed:
            return self._in_order()
        # a sampler without a length may never end, so that its batches cannot be handed out beforehand
        finite = hasattr(self._index_batches(), "__len__") and hasattr(self.sampler, "__len__")
        return self._in_threads() if self.num_workers > 0 and finite else self._one_by_one()

    def _one_by_one(self):
        for indices in self._index_batches():
            yield self._fetch(indices)

    def _index_batches(self):
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def _fetch(self, indices):
        if self.batch_sampler is None:
            return self.collate_fn(self.dataset[indices])
        return self.collate_fn([self.dataset[i] for i in indices])

    def _in_order(self):
        if self.batch_size is None:
            yield from (self.collate_fn(sample) for sample in self.dataset)
            return
        batch = []
        for sample in self.dataset:
            batch.append(sample)
            if len(batch) == self.batch_size:
                yield self.collate_fn(batch)
                batch = []
        if batch and not self.drop_last:
            yield self.collate_fn(batch)

    def _in_threads(self):
        import mindspore.dataset as ds

        batches = [b if self.batch_sampler is None else list(b) for b in self._index_batches()]
        if not batches:
            return
        source = BatchSource(self._fetch, batches)
        pipeline = ds.GeneratorDataset(
            source, ["index"], shuffle=False, num_parallel_workers=min(self.num_workers, len(batches)),
            python_multiprocessing=False,
        )  # fmt: skip
        for (index,) in pipeline.create_tuple_iterator(num_epochs=1, output_numpy=True):
            yield source.ready.pop(int(index))


class ConcatDataset:
    """torch.utils.data.ConcatDataset."""

    def __init__(self, datasets):
        self.datasets = list(datasets)
        self.cumulative_sizes = [int(n) for n in np.cumsum([len(d) for d in self.datasets])]

    def __len__(self):
        return self.cumulative_sizes[-1]

    def __getitem__(self, index):
        index = index + len(self) if index < 0 else index
        which = bisect.bisect_right(self.cumulative_sizes, index)
        return self.datasets[which][index - (self.cumulative_sizes[which - 1] if which else 0)]


class Dataset:
    """torch.utils.data.Dataset: samples by index."""

    def __class_getitem__(cls, item):
        return cls

    def __getitem__(self, index):
        raise NotImplementedError

    def __add__(self, other):
        return ConcatDataset([self, other])


class DistributedDataParallel(nn.Cell):
    """torch.nn.parallel.DistributedDataParallel: the same network in every process, gradients averaged over them.

    Parameters start as those of process 0, and so do buffers in every step of training, unless `broadcast_buffers` is
    false. The average is taken where the gradients are used: see `reduce_gradients`.
    """

    def __init__(self, module, device_ids=None, output_device=None, dim=0, broadcast_buffers=True, find_unused_parameters=False,
                 gradient_as_bucket_view=False, static_graph=False):  # fmt: skip
        super().__init__(auto_prefix=False)
        self.module = module
        self.several = get_group_size() > 1
        if self.several:
            for parameter in module.get_parameters():
                parameter.set_data(ops.Broadcast(0)((Tensor(parameter.asnumpy()),))[0])
        buffers = [p for p in module.get_parameters() if not p.requires_grad]
        self.shared = buffers if self.several and broadcast_buffers else []

    def construct(self, *args, **kwargs):
        if self.training:
            for buffer in self.shared:
                ops.assign(buffer, ops.Broadcast(0)((buffer,))[0])
        return self.module(*args, **kwargs)

    def no_sync(self):
        """Nothing to hold back: gradients that are added up before they are averaged have the same average."""
        return contextlib.nullcontext()


class DistributedSampler(Sampler):
    """torch.utils.data.DistributedSampler: this process's share of the indices."""

    def __init__(self, dataset, num_replicas=None, rank=None, shuffle=True, seed=0, drop_last=False):
        self.dataset = dataset
        self.num_replicas = mindspore.communication.get_group_size() if num_replicas is None else num_replicas
        self.rank = mindspore.communication.get_rank() if rank is None else rank
        if not 0 <= self.rank < self.num_replicas:
            raise ValueError(f"Invalid rank {self.rank}, rank should be in the interval [0, {self.num_replicas - 1}]")
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        count = len(dataset)
        if drop_last and count % self.num_replicas:
            self.num_samples = math.ceil((count - self.num_replicas) / self.num_replicas)
        else:
            self.num_samples = math.ceil(count / self.num_replicas)
        self.total_size = self.num_samples * self.num_replicas

    def __iter__(self):
        count = len(self.dataset)
        if self.shuffle:
            order = np.random.default_rng(self.seed + self.epoch).permutation(count).tolist()
        else:
            order = list(range(count))
        if not self.drop_last:
            missing = self.total_size - len(order)
            order += (order * math.ceil(missing / len(order)))[:missing]
        return iter(order[: self.total_size][self.rank :: self.num_replicas])

    def __len__(self):
        return self.num_samples

    def set_epoch(self, epoch):
        """Another order in every epoch, the same in every process."""
        self.epoch = epoch


class GlobalAvgPool2d(nn.Cell):
    """torch.nn.AdaptiveAvgPool2d(1): the mean over height and width, whose axes stay."""

    def __init__(self):
        super().__init__()
        self.output_size = 1
        self.mean = ops.ReduceMean(keep_dims=True)

    def construct(self, x):
        return self.mean(x, (-2, -1))


class GradScaler:
    """torch.amp.GradScaler over mindspore.amp.DynamicLossScaler."""

    def __init__(
        self, device="cuda", init_scale=65536.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True
    ):
        self.enabled = enabled
        self.growth_factor = growth_factor
        self.backoff_factor = backoff_factor
        self.growth_interval = growth_interval
        self.factor = float(init_scale)
        self.good_steps = 0
        self.finite = True
        self.unscaled = []

    def is_enabled(self):
        return self.enabled

    def get_scale(self):
        """The factor by which losses are multiplied now."""
        return self.factor if self.enabled else 1.0

    def scale(self, outputs):
        """The loss, or a list of losses, times the scale."""
        if not self.enabled:
            return outputs
        if isinstance(outputs, (list, tuple)):
            return type(outputs)(self.scale(output) for output in outputs)
        return outputs * self.factor

    def unscale(self, gradients):
        """Gradients of a scaled loss divided by the scale; notes whether all of them are finite."""
        if not self.enabled:
            return gradients
        gradients = tuple(g * (1.0 / self.factor) for g in gradients)
        self.finite = self.finite and bool(amp.all_finite(gradients))
        return gradients

    def unscale_(self, optimizer):
        """As `unscale`, for gradients that accumulate_gradients left on the parameters."""
        if self.enabled and not any(optimizer is o for o in self.unscaled):
            held = [p for p in optimizer.parameters if getattr(p, "grad", None) is not None]
            for parameter, gradient in zip(held, self.unscale([p.grad for p in held])):
                parameter.grad = gradient
            self.unscaled.append(optimizer)

    def step(self, optimizer, gradients=None):
        """A step of the optimizer, unless a gradient is not finite."""
        if gradients is None:
            self.unscale_(optimizer)
        if self.finite:
            return optimizer.step() if gradients is None else optimizer(gradients)
        return None

    def update(self, new_scale=None):
        """Scale for the next step: smaller after one that was left out, larger after enough that were not."""
        if new_scale is not None:
            self.factor = float(new_scale)
        elif self.enabled and not self.finite:
            self.factor *= self.backoff_factor
            self.good_steps = 0
        elif self.enabled:
            self.good_steps += 1
            if self.good_steps == self.growth_interval:
                self.factor *= self.growth_factor
                self.good_steps = 0
        self.finite = True
        self.unscaled = []

    def state_dict(self):
        if not self.enabled:
            return {}
        return {
            "scale": self.factor, "growth_factor": self.growth_factor, "backoff_factor": self.backoff_factor,
            "growth_interval": self.growth_interval, "_growth_tracker": self.good_steps,
        }  # fmt: skip

    def load_state_dict(self, state_dict):
        if self.enabled:
            self.factor = state_dict["scale"]
            self.growth_factor = state_dict["growth_factor"]
            self.backoff_factor = state_dict["backoff_factor"]
            self.growth_interval = state_dict["growth_interval"]
            self.good_steps = state_dict["_growth_tracker"]


class ImageFolder:
    """torchvision.datasets.ImageFolder: one folder of images for each class."""

    ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")

    def __init__(self, root, transform=None, target_transform=None):
        self.root = root
        self.classes = sorted(p.name for p in pathlib.Path(root).iterdir() if p.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"Couldn't find any class folder in {root}.")
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = []
        for name, target in self.class_to_idx.items():
            # torchvision's order: a folder's own files come before those of the folders in it
            walked = sorted(os.walk(os.path.join(root, name), followlinks=True))
            found = [os.path.join(folder, file) for folder, _, files in walked for file in sorted(files)]
            images = [(path, target) for path in found if path.lower().endswith(self.ENDINGS)]
            if not images:
                raise FileNotFoundError(f"Found no valid file for the class {name}.")
            self.samples += images
        self.imgs = self.samples
        self.targets = [target for _, target in self.samples]
        self.transform = transform
        self.target_transform = target_transform

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        from PIL import Image

        path, target = self.samples[index]
        with Image.open(path) as file:
            image = file.convert("RGB")
        image = image if self.transform is None else self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)


class ImageFunction:
    """A transform that is a function with fixed arguments."""

    def __init__(self, function, *arguments):
        self.function = function
        self.arguments = arguments

    def __call__(self, image):
        return self.function(image, *self.arguments)


class LRScheduler:
    """torch.optim.lr_scheduler.LRScheduler: sets the learning rate of every parameter group at each step."""

    def __init__(self, optimizer, last_epoch=-1):
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError("param 'initial_lr' is not specified in param_groups when resuming an optimizer")
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self.initial_step()

    def initial_step(self):
        self._step_count = 0
        self._is_initial = True
        self.step()
        self._is_initial = False

    def get_lr(self):
        raise NotImplementedError

    def get_last_lr(self):
        """Learning rates of the groups as last set."""
        return self._last_lr

    def lrs(self):
        return [group["lr"] for group in self.optimizer.param_groups]

    def step(self, epoch=None):
        self._step_count += 1
        self.update_lr(epoch)

    def update_lr(self, epoch=None):
        if epoch is None:
            self.last_epoch += 1
            values = self.get_lr()
        else:
            self.last_epoch = epoch
            values = self._get_closed_form_lr() if hasattr(self, "_get_closed_form_lr") else self.get_lr()
        for group, value in zip(self.optimizer.param_groups, values):
            group["lr"] = value
        self._last_lr = self.lrs()

    def state_dict(self):
        return {k: v for k, v in self.__dict__.items() if k != "optimizer" and not callable(v)}

    def load_state_dict(self, state_dict):
        self.__dict__.update(state_dict)


class LambdaLR(LRScheduler):
    """torch.optim.lr_scheduler.LambdaLR."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        count = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) else [lr_lambda] * count
        if len(self.lr_lambdas) != count:
            raise ValueError(f"Expected {count} lr_lambdas, but got {len(self.lr_lambdas)}")
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [base * factor(self.last_epoch) for factor, base in zip(self.lr_lambdas, self.base_lrs)]

    def state_dict(self):
        return {k: v for k, v in super().state_dict().items() if k != "lr_lambdas"}


class Prefixed:
    """Remembers the prefix that a parent cell gave, so that what is added later is named in full."""

    prefix = ''

    def update_parameters_name(self, prefix='', recurse=True):
        super().update_parameters_name(prefix, recurse)
        object.__setattr__(self, 'prefix', prefix)

    def adopt(self, name, child):
        """Registers a cell under a name."""
        if child is not None:
            child.update_parameters_name(self.prefix + name + '.')
        self._cells[name] = child

    def renumber(self, children):
        """Registers the cells as 0, 1, 2, ..."""
        self._cells.clear()
        for i, child in enumerate(children):
            self.adopt(str(i), child)


class ModuleList(Prefixed, nn.CellList):
    """torch.nn.ModuleList: takes any iterable, may grow later, and its slices leave names alone."""

    def __init__(self, modules=None):
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index):
        if not isinstance(index, slice):
            return super().__getitem__(index)
        part = ModuleList()
        for i, cell in enumerate(list(self._cells.values())[index]):
            part._cells[str(i)] = cell
        return part

    def __setitem__(self, index, module):
        self.adopt(str(index % len(self)), module)

    def __delitem__(self, index):
        cells = list(self._cells.values())
        del cells[index]
        self.renumber(cells)

    def __add__(self, other):
        part = ModuleList()
        for i, cell in enumerate([*self, *other]):
            part._cells[str(i)] = cell
        return part

    def add_module(self, name, module):
        """torch.nn.Module.add_module."""
        self.adopt(name, module)

    def append(self, module):
        """torch.nn.ModuleList.append."""
        self.adopt(str(len(self)), module)
        return self

    def extend(self, modules):
        """torch.nn.ModuleList.extend."""
        for module in list(modules):
            self.append(module)
        return self

    def insert(self, index, module):
        """torch.nn.ModuleList.insert."""
        cells = list(self._cells.values())
        cells.insert(index, module)
        self.renumber(cells)

    def pop(self, key):
        """torch.nn.ModuleList.pop."""
        cell = self[key]
        del self[key]
        return cell


def channels_first(image):
    """A tensor or an array of an image, as an array; None for a PIL image."""
    if isinstance(image, Tensor):
        return image.asnumpy()
    return image if isinstance(image, np.ndarray) else None


class Normalize:
    """torchvision.transforms.Normalize of an image with channels first."""

    def __init__(self, mean, std, inplace=False):
        self.mean = np.atleast_1d(np.asarray(mean, np.float32))[:, None, None]
        self.std = np.atleast_1d(np.asarray(std, np.float32))[:, None, None]

    def __call__(self, image):
        array = channels_first(image)
        if array is None or array.dtype.kind != "f":
            raise TypeError(f"Normalize takes a float array, not {type(image).__name__} {getattr(array, 'dtype', '')}")
        return (array - self.mean.astype(array.dtype)) / self.std.astype(array.dtype)


class ParamGroup(dict):
    """One entry of Optimizer.param_groups; what is set here is what the next call of the optimizer uses.

    Where the optimizer is part of a larger compiled step, its settings are compiled with it, all but the learning rate:
    raises RuntimeError for a new value of another one.
    """

    def __init__(self, settings, lr, is_compiled):
        super().__init__(settings)
        self.settings = settings
        self.lr = lr
        self.is_compiled = is_compiled

    def __setitem__(self, key, value):
        value = float(value) if key == "lr" else value
        if key != "lr" and key in self.settings and self.settings[key] != value and self.is_compiled():
            raise RuntimeError(f"{key} is compiled into a larger step: set it before, or call the optimizer outside of the step")
        super().__setitem__(key, value)
        self.settings[key] = value
        if key == "lr":
            self.lr.set_data(Tensor(value, mindspore.float32))

    def setdefault(self, key, default=None):
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *args, **kwargs):
        for key, value in dict(*args, **kwargs).items():
            self[key] = value


class Optimizer(nn.Cell):
    """torch.optim.Optimizer: called with the gradients of `parameters` it makes one step.

    Subclasses give `new_state(parameter)`, a dictionary of arrays by name, and
    `update(parameter, gradient, lr, step, state, group)`, which assigns the parameter and its state.
    """

    def __init__(self, params, defaults):
        super().__init__(auto_prefix=False)
        groups = [params] if isinstance(params, Parameter) else list(params)
        if not groups:
            raise ValueError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        self.defaults = defaults
        self.param_groups = []
        self.settings = []
        self.lrs = []
        self.steps = []
        self.skipped = []
        self.states = []
        self.trained = []
        self.kept_infos = []
        self.calls = [0]
        self.parameters = ()
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, param_group):
        """Adds parameters with settings of their own."""
        params = param_group["params"]
        params = [params] if isinstance(params, Parameter) else [p[1] if isinstance(p, tuple) else p for p in params]
        for parameter in params:
            parameter.grad = getattr(parameter, "grad", None)
        known = {id(p) for p in self.parameters}
        if any(id(p) in known for p in params):
            raise ValueError("some parameters appear in more than one parameter group")
        settings = {**self.defaults, **param_group, "params": params}
        index = len(self.param_groups)
        lr = Parameter(Tensor(float(settings["lr"]), mindspore.float32), name=f"lr.{index}", requires_grad=False)
        settings["lr"] = float(settings["lr"])
        self.lrs.append(lr)
        self.steps.append(Parameter(Tensor(0.0, mindspore.float32), name=f"step.{index}", requires_grad=False))
        self.settings.append(settings)
        self.param_groups.append(ParamGroup(settings, lr, self.is_compiled))
        first = len(self.parameters)
        self.skipped.append([0] * len(params))
        self.states.append([self.named_state(p, first + i, settings) for i, p in enumerate(params)])
        # asking a parameter itself waits, with a processor, until the gradients are there
        self.kept_infos.append([p.param_info for p in params])
        self.trained.append([info.requires_grad for info in self.kept_infos[index]])
        parameters = (*self.parameters, *params)
        # in GRAPH mode the update of each parameter is a few calls deeper than that of the one before
        mindspore.set_recursion_limit(1000 + 6 * len(parameters))
        if len({p.name for p in parameters}) == len(parameters):
            self.parameters = ParameterTuple(parameters)
        else:
            # those of several networks: a Cell would refuse parameters of one name
            object.__setattr__(self, "parameters", parameters)

    def named_state(self, parameter, index, group):
        """The state of one parameter, as parameters of the optimizer."""
        return {
            name: Parameter(Tensor(value, parameter.dtype), name=f"{name}.{index}.{parameter.name}", requires_grad=False)
            for name, value in self.new_state(np.zeros(parameter.shape, np.float32), group).items()
        }

    def new_state(self, zeros, group):
        return {}

    def update(self, parameter, gradient, lr, step, state, group):
        raise NotImplementedError

    def is_compiled(self):
        """Whether steps were made inside a larger compiled step, and not by calls of the optimizer."""
        return bool(self.steps) and float(self.steps[0].asnumpy()) > self.calls[0]

    def __call__(self, gradients):
        self.calls[0] += 1
        self.trained = [[info.requires_grad for info in infos] for infos in self.kept_infos]
        if all(g is not None for g in gradients):
            gradients = mindspore.mutable(tuple(gradients))  # a plain tuple is a constant, and GRAPH mode would compile each step anew
        return super().__call__(gradients)

    def construct(self, gradients):
        start = 0
        for index, group in enumerate(self.settings):
            step = ops.assign_add(self.steps[index], Tensor(1.0, mindspore.float32))
            for offset, parameter in enumerate(group["params"]):
                gradient = gradients[start + offset]
                if gradient is not None and self.trained[index][offset]:
                    if group["maximize"]:
                        gradient = -gradient
                    own = step - self.skipped[index][offset]
                    self.update(parameter, gradient, self.lrs[index], own, self.states[index][offset], group)
            start += len(group["params"])
        return True

    def step(self, closure=None):
        """A step with the gradients that `accumulate_gradients` left on the parameters."""
        loss = closure() if closure is not None else None
        gradients = [getattr(p, "grad", None) for p in self.parameters]
        if any(g is not None for g in gradients):
            missing = iter([g is None for g in gradients])
            self.skipped = [[count + next(missing) for count in group] for group in self.skipped]
            self(gradients)
        return loss

    def zero_grad(self, set_to_none=True):
        """Forgets accumulated gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state_dict(self):
        """Settings of the groups, and the state by the index of each parameter."""
        groups, first = [], 0
        for group in self.param_groups:
            count = len(group["params"])
            groups.append({**group, "params": list(range(first, first + count))})
            first += count
        state = {}
        for index, per_group in enumerate(self.states):
            for skipped, own in zip(self.skipped[index], per_group):
                values = {name: Tensor(value.asnumpy()) for name, value in own.items()}
                state[len(state)] = {"step": float(self.steps[index].asnumpy()) - skipped, **values}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict):
        """Restores what state_dict gave; raises ValueError where the parameter groups differ."""
        saved = state_dict["param_groups"]
        if [len(g["params"]) for g in saved] != [len(g["params"]) for g in self.param_groups]:
            raise ValueError("loaded state dict contains a parameter group that doesn't match the size of optimizer's group")
        position = 0
        for index, group in enumerate(self.param_groups):
            group.update({k: v for k, v in saved[index].items() if k != "params"})
            made = [state_dict["state"][position + i]["step"] for i in range(len(self.states[index]))]
            self.steps[index].set_data(Tensor(float(max(made, default=0)), mindspore.float32))
            self.calls[0] = max(self.calls[0], int(max(made, default=0)))
            self.skipped[index] = [int(max(made) - step) for step in made]
            for parameter, own in zip(group["params"], self.states[index]):
                values = dict(state_dict["state"][position])
                del values["step"]
                for name in own.keys() - values.keys():
                    del own[name]
                for name, value in values.items():
                    if name in own:
                        own[name].set_data(Tensor(value))
                    else:  # the options of the saved optimizer keep more than those of this one
                        own[name] = Parameter(Tensor(value), name=f"{name}.{position}.{parameter.name}", requires_grad=False)
                position += 1


def happens(p):
    """True with the probability p."""
    return np.random.random() < p


class RandomImageFunction(ImageFunction):
    """A transform that happens with the probability p."""

    def __init__(self, p, function, *arguments):
        super().__init__(function, *arguments)
        self.p = p

    def __call__(self, image):
        return super().__call__(image) if happens(self.p) else image


def image_size(image):
    """Height and width."""
    array = channels_first(image)
    return tuple(array.shape[-2:]) if array is not None else (image.height, image.width)


def lying(area, ratio):
    """Height and width of a part with a ratio of width to height."""
    return round(math.sqrt(area / ratio)), round(math.sqrt(area * ratio))


def uniform(low, high):
    """One random number between two bounds."""
    return float(np.random.uniform(low, high))


def random_box(rows, columns, scale, ratio, largest, sides):
    """Top, left, height and width of a random part with a share of the area and a ratio of its sides; None after ten misses."""
    for _ in range(10):
        area = rows * columns * uniform(*scale)
        height, width = sides(area, math.exp(uniform(math.log(ratio[0]), math.log(ratio[1]))))
        if 0 < height <= largest[0] and 0 < width <= largest[1]:
            return int(np.random.randint(rows - height + 1)), int(np.random.randint(columns - width + 1)), height, width
    return None


def crop_image(img, top, left, height, width):
    """torchvision.transforms.functional.crop: what lies outside of the image is 0."""
    array = channels_first(img)
    if array is None:
        return img.crop((left, top, left + width, top + height))
    rows, columns = array.shape[-2:]
    inside = array[..., max(top, 0) : max(top + height, 0), max(left, 0) : max(left + width, 0)]
    beyond = [(max(-top, 0), max(top + height - rows, 0)), (max(-left, 0), max(left + width - columns, 0))]
    return np.pad(inside, [(0, 0)] * (array.ndim - 2) + beyond)


INTERPOLATIONS = {0: vision.Inter.NEAREST, 2: vision.Inter.LINEAR, 3: vision.Inter.BICUBIC}


RESAMPLING = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}


def pil_only(image, name):
    """Raises TypeError for what is not a PIL image."""
    if channels_first(image) is not None:
        raise TypeError(f"{name} gives torchvision's pixels for PIL images only: let it stand before ToTensor")
    return image


def resize_image(img, size, interpolation="bilinear", max_size=None, antialias=True):
    """torchvision.transforms.functional.resize: one number is the length of the shorter side."""
    pil_only(img, "resize")
    method = RESAMPLING.get(interpolation, interpolation)
    if isinstance(size, int) or len(size) == 1:
        size = size if isinstance(size, int) else size[0]
        short, long = sorted((img.height, img.width))
        new_short, new_long = size, int(size * long / short)
        if max_size is not None and new_long > max_size:
            new_short, new_long = int(max_size * new_short / new_long), max_size
        size = (new_long, new_short) if img.width <= img.height else (new_short, new_long)
    if method in INTERPOLATIONS:
        return vision.Resize(tuple(size), INTERPOLATIONS[method])(img)
    return img.resize(tuple(size)[::-1], method)


def resized_crop(img, top, left, height, width, size, interpolation="bilinear", antialias=True):
    """torchvision.transforms.functional.resized_crop."""
    return resize_image(crop_image(img, top, left, height, width), size, interpolation)


def size_pair(size):
    """Height and width from a number or a sequence of one or two."""
    if isinstance(size, int):
        return size, size
    return (size[0], size[0]) if len(size) == 1 else tuple(size)


class RandomResizedCrop:
    """torchvision.transforms.RandomResizedCrop: of PIL images."""

    def __init__(self, size, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), interpolation="bilinear", antialias=True):
        self.size = size_pair(size)
        self.scale = scale
        self.ratio = ratio
        self.interpolation = interpolation

    def box(self, rows, columns):
        found = random_box(rows, columns, self.scale, self.ratio, (rows, columns), lying)
        if found is not None:
            return found
        height, width = rows, columns
        if columns / rows < min(self.ratio):
            height = round(columns / min(self.ratio))
        elif columns / rows > max(self.ratio):
            width = round(rows * max(self.ratio))
        return (rows - height) // 2, (columns - width) // 2, height, width

    def __call__(self, image):
        return resized_crop(image, *self.box(*image_size(image)), self.size, self.interpolation)


class SGD(Optimizer):
    """torch.optim.SGD."""

    def __init__(
        self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False, *,
        maximize=False, foreach=None, differentiable=False, fused=None,
    ):  # fmt: skip
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "dampening": dampening, "weight_decay": weight_decay,
            "nesterov": nesterov, "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        if group["momentum"] == 0:
            return {}
        if group["dampening"] == 0:
            return {"momentum_buffer": zeros}
        return {"momentum_buffer": zeros, "first": zeros + 1}

    def update(self, parameter, gradient, lr, step, state, group):
        if group["weight_decay"] != 0:
            gradient = gradient + group["weight_decay"] * parameter
        momentum = group["momentum"]
        if momentum == 0:
            ops.assign_sub(parameter, lr * gradient)
        elif group["dampening"] != 0:
            ops.SGD(float(group["dampening"]), 0.0, False)(
                parameter, gradient, lr, state["momentum_buffer"], Tensor(momentum, mindspore.float32), state["first"]
            )
        elif group["nesterov"]:
            buffer = state["momentum_buffer"]
            ops.assign(buffer, momentum * buffer + gradient)
            ops.assign_sub(parameter, lr * (gradient + momentum * buffer))
        else:
            ops.ApplyMomentum()(parameter, state["momentum_buffer"], lr, gradient, momentum)


def to_tensor(pic):
    """torchvision.transforms.functional.to_tensor: channels first, bytes become float32 in [0, 1]; as a numpy array."""
    mode = getattr(pic, "mode", "")
    array = np.asarray(pic, {"I": np.int32, "I;16": np.int16, "F": np.float32, "1": np.uint8}.get(mode))
    array = array * 255 if mode == "1" else array
    array = array[:, :, None] if array.ndim == 2 else array
    array = np.ascontiguousarray(array.transpose(2, 0, 1))
    return array.astype(np.float32) / np.float32(255) if array.dtype == np.uint8 else array


class ToTensor:
    """torchvision.transforms.ToTensor: bytes become float32 in [0, 1], channels first; a numpy array, which loaders stack."""

    def __call__(self, image):
        return to_tensor(image)


def amp_strategy(dtype):
    """The operator lists of mindspore.amp.auto_mixed_precision(level="auto") as a context."""
    from mindspore.train.amp import AMP_AUTO_BLACK_LIST, AMP_AUTO_WHITE_LIST, AMP_PRIM_ARG_TABLE

    white = [(primitive.__name__, AMP_PRIM_ARG_TABLE[primitive]) for primitive in AMP_AUTO_WHITE_LIST]
    black = [(primitive.__name__, AMP_PRIM_ARG_TABLE[primitive]) for primitive in AMP_AUTO_BLACK_LIST]
    return AmpDecorator(AmpLevel.AmpAuto, dtype, white, black)


class autocast:
    """torch.autocast: on Ascend and GPU operators of MindSpore's own white list compute in a short dtype.

    On the CPU, where MindSpore lacks most bfloat16 kernels, everything stays in float32.
    """

    def __init__(self, device_type="cuda", dtype=None, enabled=True, cache_enabled=None):
        self.strategy = None
        if enabled and mindspore.get_context("device_target") != "CPU":
            self.strategy = amp_strategy(mindspore.float16 if dtype is None else dtype)

    def __enter__(self):
        if self.strategy is not None:
            self.strategy.__enter__()
        return self

    def __exit__(self, *error):
        if self.strategy is not None:
            self.strategy.__exit__(*error)
        return False

    def __call__(self, function):
        if self.strategy is None:  # a compiled graph calls the function itself
            return function

        def wrapped(*args, **kwargs):
            with self:
                return function(*args, **kwargs)

        return wrapped


def fill_for(image, fill):
    """A colour with a value for each channel, as PIL takes it."""
    bands = len(image.getbands())
    fill = 0 if fill is None else fill
    if isinstance(fill, (list, tuple)):
        fill = tuple(fill) * bands if len(fill) == 1 else tuple(fill)
    elif bands > 1:
        fill = (fill,) * bands
    if image.mode == "F":
        return fill
    return tuple(int(v) for v in fill) if isinstance(fill, tuple) else int(fill)


def pad_image(img, padding, fill=0, padding_mode="constant"):
    """torchvision.transforms.functional.pad: left, top, right, bottom."""
    sides = (padding,) if isinstance(padding, int) else tuple(padding)
    left, top, right, bottom = {1: sides * 4, 2: sides * 2, 4: sides}[len(sides)]
    array = channels_first(img)
    if array is None and padding_mode == "constant":
        from PIL import ImageOps

        return ImageOps.expand(img, (left, top, right, bottom), fill_for(img, fill))
    options = {"constant_values": fill} if padding_mode == "constant" else {}
    if array is not None:
        return np.pad(array, [(0, 0)] * (array.ndim - 2) + [(top, bottom), (left, right)], padding_mode, **options)
    from PIL import Image

    pixels = np.asarray(img)
    return Image.fromarray(np.pad(pixels, [(top, bottom), (left, right)] + [(0, 0)] * (pixels.ndim - 2), padding_mode))


def center_crop(img, output_size):
    """torchvision.transforms.functional.center_crop."""
    height, width = size_pair(output_size)
    rows, columns = image_size(img)
    if width > columns or height > rows:
        x, y = max(width - columns, 0), max(height - rows, 0)
        img = pad_image(img, (x // 2, y // 2, (x + 1) // 2, (y + 1) // 2))
        rows, columns = image_size(img)
    return crop_image(img, round((rows - height) / 2.0), round((columns - width) / 2.0), height, width)


class device:
    """torch.device: a name only, since MindSpore places tensors by context."""

    def __init__(self, type, index=None):
        kind, _, number = str(type).partition(':')
        self.type = kind
        self.index = int(number) if number else index

    def __str__(self):
        return self.type if self.index is None else f'{self.type}:{self.index}'

    def __repr__(self):
        return f"device(type='{self.type}')" if self.index is None else f"device(type='{self.type}', index={self.index})"

    def __eq__(self, other):
        return isinstance(other, device) and str(self) == str(other)

    def __hash__(self):
        return hash(str(self))


def protobuf_field(number, value):
    """A field as it is written."""

    def varint(value):
        written = b""
        while value > 127:
            written, value = written + bytes([value & 127 | 128]), value >> 7
        return written + bytes([value])

    if isinstance(value, int):
        return varint(number * 8) + varint(value)
    if isinstance(value, tuple):
        return varint(number * 8 + value[0]) + value[1]
    return varint(number * 8 + 2) + varint(len(value)) + value


def protobuf_fields(message):
    """Number and value of each field: bytes, an integer, or the bytes of a fixed number after its wire type."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
            continue
        length = varint() if wire == 2 else {1: 8, 5: 4}[wire]
        value = message[at : at + length]
        at += length
        yield number, value if wire == 2 else (wire, value)


def onnx_with_names(model, input_names, output_names):
    """A serialized ONNX model whose inputs and outputs have other names, in their order (onnx.proto3 has the field numbers)."""
    graph = next(value for number, value in protobuf_fields(model) if number == 7)
    parts = list(protobuf_fields(graph))

    def name_in(message, field=1):
        return next(bytes(value) for number, value in protobuf_fields(message) if number == field)

    weights = {name_in(value, 8) for number, value in parts if number == 5}
    inputs = [name for number, value in parts if number == 11 and (name := name_in(value)) not in weights]
    outputs = [name_in(value) for number, value in parts if number == 12]
    wanted = [name.encode() for name in (*input_names, *output_names)]
    given = {**dict(zip(inputs, wanted)), **dict(zip(outputs, wanted[len(input_names) :]))}
    inner = {value for number, part in parts if number == 1 for field, value in protobuf_fields(part) if field in (1, 2)}
    for name in (inner | weights) - given.keys():
        if name in given.values():  # a value inside of the network has the name already
            given[name] = name + b"_inner"

    def renamed(message, fields):
        kept = ((number, given.get(value, value) if number in fields else value) for number, value in protobuf_fields(message))
        return b"".join(protobuf_field(number, value) for number, value in kept)

    fields = {1: (1, 2), 5: (8,), 11: (1,), 12: (1,), 13: (1,)}
    body = b"".join(protobuf_field(n, renamed(v, fields[n]) if n in fields else v) for n, v in parts)
    return b"".join(protobuf_field(n, body if n == 7 else v) for n, v in protobuf_fields(model))


def export_network(model, args, f, input_names=None, output_names=None, file_format="ONNX"):
    """Writes a network for inputs of given shapes, as mindspore.export does, under exactly the given file name."""
    inputs = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    training = model.training
    model.set_train(False)
    with tempfile.TemporaryDirectory() as folder:
        mindspore.export(model, *inputs, file_name=os.path.join(folder, "network"), file_format=file_format)
        (written,) = os.listdir(folder)
        with open(os.path.join(folder, written), "rb") as file:
            data = file.read()
    with open(os.fspath(f), "wb") as file:
        named = file_format == "ONNX" and (input_names or output_names)
        file.write(onnx_with_names(data, input_names or (), output_names or ()) if named else data)
    model.set_train(training)


def init_process_group(
    backend=None, init_method=None, timeout=None, world_size=-1, rank=-1, store=None, group_name="", pg_options=None,
    device_id=None,
):  # fmt: skip
    """torch.distributed.init_process_group: joins the processes that msrun started."""
    init()
    mindspore.set_auto_parallel_context(
        parallel_mode=mindspore.ParallelMode.DATA_PARALLEL, gradients_mean=True, device_num=get_group_size()
    )


class TracedNetwork(nn.Cell):
    """torch.jit.trace: a network with the inputs that it is to be exported for; called, it is the network itself."""

    def __init__(self, network, inputs):
        super().__init__(auto_prefix=False)
        self.network = network
        self.traced_in_training = isinstance(network, nn.Cell) and network.training
        self.inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)

    def construct(self, *inputs):
        return self.network(*inputs)

    def save(self, f, _extra_files=None):
        """Writes the network as MINDIR."""
        jit_save(self, f)


def jit_save(m, f, _extra_files=None):
    """torch.jit.save: the traced network as MINDIR.

    Raises:
        TypeError: the network was not traced, so that the shapes of its inputs are not known.
        ValueError: it was traced in training mode, which torch keeps and MindSpore's export does not.
    """
    if not isinstance(m, TracedNetwork) or any(i is None for i in m.inputs):
        raise TypeError("torch.jit.save needs a traced network: MindSpore exports for inputs of known shapes")
    if m.traced_in_training:
        raise ValueError("MindSpore exports a network for evaluation: call set_train(False) before it is traced")
    export_network(m.network, m.inputs, f, file_format="MINDIR")


def jit_trace(func, example_inputs=None, optimize=None, check_trace=True, check_inputs=None, check_tolerance=1e-5, strict=True):
    """torch.jit.trace: remembers the inputs; MindSpore compiles when the network is exported."""
    return TracedNetwork(func, example_inputs)


def _calculate_fan_in_and_fan_out(tensor):
    """torch.nn.init._calculate_fan_in_and_fan_out."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    receptive_field = math.prod(tensor.shape[2:])
    return tensor.shape[1] * receptive_field, tensor.shape[0] * receptive_field


def _calculate_correct_fan(tensor, mode):
    """torch.nn.init._calculate_correct_fan."""
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    return fan_in if mode == "fan_in" else fan_out


def _drawn(tensor, distribution):
    """Values of an initializer in the shape and dtype of a tensor."""
    values = initializer(distribution, tensor.shape, mindspore.float32).init_data()
    return values.astype(tensor.dtype)


def _filled(tensor, values):
    """The tensor after `values` were written into it; a slice of a parameter changes the parameter."""
    if isinstance(tensor, Parameter):
        tensor.set_data(values)
    else:
        tensor[...] = values
    return tensor


def calculate_gain(nonlinearity, param=None):
    """torch.nn.init.calculate_gain."""
    fixed = {"tanh": 5.0 / 3, "relu": math.sqrt(2.0), "selu": 3.0 / 4}
    linear = ("linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
    if nonlinearity in linear or nonlinearity == "sigmoid":
        return 1
    if nonlinearity in fixed:
        return fixed[nonlinearity]
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        return math.sqrt(2.0 / (1 + slope**2))
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """torch.nn.init.kaiming_normal_."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    return _filled(tensor, _drawn(tensor, mindspore.common.initializer.Normal(std)))


def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """torch.nn.init.kaiming_uniform_."""
    if 0 in tensor.shape:
        return tensor
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    return _filled(tensor, _drawn(tensor, mindspore.common.initializer.Uniform(math.sqrt(3.0) * std)))


STRUCTURE = "structure"


TORCH_MAGIC = 0x1950A86A20F9469CFC6C


def rebuilt_parameter(data, requires_grad, backward_hooks):
    """A parameter is read as its tensor."""
    return data


def rebuilt_tensor(storage, offset, size, stride, requires_grad=False, backward_hooks=None, metadata=None):
    """A tensor from its place in a storage."""
    steps = [n * storage.itemsize for n in stride]
    array = np.lib.stride_tricks.as_strided(storage[offset:], size, steps).copy()
    if storage.dtype == np.dtype("V2"):
        return Tensor((array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)).astype(mindspore.bfloat16)
    return Tensor(array)


TORCH_REBUILDERS = {"_rebuild_tensor_v2": rebuilt_tensor, "_rebuild_parameter": rebuilt_parameter}


TORCH_SAFE = {
    ("numpy.core.multiarray", "_reconstruct"), ("numpy.core.multiarray", "scalar"), ("numpy", "ndarray"), ("numpy", "dtype"),
    ("collections", "OrderedDict"), ("argparse", "Namespace"), ("_codecs", "encode"),
}  # fmt: skip


TORCH_STORAGES = {
    "FloatStorage": np.float32, "DoubleStorage": np.float64, "HalfStorage": np.float16, "BFloat16Storage": np.dtype("V2"),
    "LongStorage": np.int64, "IntStorage": np.int32, "ShortStorage": np.int16, "CharStorage": np.int8,
    "ByteStorage": np.uint8, "BoolStorage": np.bool_, "ComplexFloatStorage": np.complex64,
}  # fmt: skip


class TorchFile(pickle.Unpickler):
    """What torch.save wrote, as MindSpore tensors; of classes it makes only arrays and containers, so no code is run."""

    def __init__(self, archive):
        self.archive = archive
        name = next(n for n in archive.namelist() if n.endswith("/data.pkl"))
        self.folder = name.removesuffix("data.pkl")
        super().__init__(io.BytesIO(archive.read(name)))

    def find_class(self, module, name):
        if module == "torch._utils" and name in TORCH_REBUILDERS:
            return TORCH_REBUILDERS[name]
        if module == "torch" and name in TORCH_STORAGES:
            return TORCH_STORAGES[name]
        package = module.replace("numpy._core", "numpy.core")
        if (package, name) in TORCH_SAFE:
            return super().find_class(package, name)
        raise ValueError(f"the file holds {module}.{name}, which is neither a tensor nor a container")

    def persistent_load(self, pid):
        _, dtype, key, _, _ = pid
        return np.frombuffer(self.archive.read(f"{self.folder}data/{key}"), dtype)


def unpacked(structure, tensors):
    """The value that `packed` described."""
    (kind, value), *rest = structure.items()
    if kind == "tensor":
        found = Tensor(tensors[value].asnumpy()) if structure["numpy"] else tensors[value]
        return found.asnumpy() if structure["numpy"] else found
    if kind == "dict":
        return {key: unpacked(item, tensors) for key, item in value}
    if kind == "namespace":
        import argparse

        return argparse.Namespace(**unpacked(value, tensors))
    if kind in ("list", "tuple"):
        items = [unpacked(item, tensors) for item in value]
        return items if kind == "list" else tuple(items)
    return value


def load(f, map_location=None, pickle_module=None, *, weights_only=None, mmap=None, **pickle_load_args):
    """torch.load of what `save` or mindspore.save_checkpoint wrote, under any file name, and of data that torch wrote.

    A pickled network runs code of the file: load only those that you trust. A state dict that torch wrote has torch's
    names: `porter weights` converts it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is neither a MindSpore checkpoint nor a file of torch with tensors, arrays, numbers and containers.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "saved.ckpt")
        if hasattr(f, "read"):
            with open(path, "wb") as copy:
                shutil.copyfileobj(f, copy)
        elif not os.path.isfile(f):
            raise FileNotFoundError(f"no checkpoint at {os.fspath(f)}")
        else:
            os.symlink(os.path.abspath(f), path)
        with open(path, "rb") as copy:
            if copy.read(1) == pickle.PROTO:
                copy.seek(0)
                found = pickle.load(copy)
                if found == TORCH_MAGIC:
                    raise ValueError("a file in the format of torch before 1.6: save it anew with a later torch")
                return found
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return TorchFile(archive).load()
        tensors = mindspore.load_checkpoint(path)
    structure = tensors.pop(STRUCTURE, None)
    if structure is None:
        return dict(tensors)
    return unpacked(json.loads(str(structure)), tensors)


def mirrored(img):
    """torchvision.transforms.functional.hflip: left and right change places."""
    array = channels_first(img)
    if array is not None:
        return np.ascontiguousarray(array[..., ::-1])
    from PIL import ImageOps

    return ImageOps.mirror(img)


def is_module_buffer(cell, name):
    """Whether a parameter of a cell is what torch calls a buffer: registered as one, or a running statistic."""
    return name in getattr(cell, "buffer_names", ()) or name in ("moving_mean", "moving_variance")


def torch_member(cell, name):
    """What torch calls a parameter of a layer: scripts choose parameters by names such as bias and weight."""
    if isinstance(cell, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.LayerNorm, nn.GroupNorm)):
        names = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}
        return names.get(name, name)
    if (isinstance(cell, nn.Embedding) and name == "embedding_table") or (isinstance(cell, nn.PReLU) and name == "w"):
        return "weight"
    return name


def module_named_tensors(self, prefix, recurse, remove_duplicate, buffers):
    """Parameters, or buffers, of a cell and its children in torch's order, each with its dotted name."""
    found, seen = [], set()
    for path, cell in self.cells_and_names(name_prefix=prefix) if recurse else [(prefix, self)]:
        members = [(n, p) for n, p in cell._params.items() if is_module_buffer(cell, n) == buffers]
        if buffers:
            members += [*cell._buffers.items(), *((n, getattr(cell, n)) for n in getattr(cell, "plain_buffer_names", ()))]
        for name, tensor in members:
            if tensor is not None and not (remove_duplicate and id(tensor) in seen):
                seen.add(id(tensor))
                name = torch_member(cell, name)
                found.append((f"{path}.{name}" if path else name, tensor))
    return found


def module_parameters(self, recurse=True):
    """torch.nn.Module.parameters: frozen ones too, buffers not."""
    return iter([p for _, p in module_named_tensors(self, "", recurse, True, False)])


def constant_(tensor, val):
    """torch.nn.init.constant_."""
    return _filled(tensor, _drawn(tensor, Constant(val)))


def ones_(tensor):
    """torch.nn.init.ones_."""
    return constant_(tensor, 1.0)


def crop(x, padding):
    """Takes off what the negative entries of a torch padding (last axis first) take off."""
    for i in range(len(padding) // 2):
        axis = x.ndim - 1 - i
        begin = max(-padding[2 * i], 0)
        length = x.shape[axis] - begin - max(-padding[2 * i + 1], 0)
        if length == 0:
            x = x[(slice(None),) * axis + (slice(0, 0),)]  # ops.narrow refuses to leave nothing
        elif length != x.shape[axis]:
            x = ops.narrow(x, axis, begin, length)
    return x


def pad(input, pad, mode='constant', value=None):
    """torch.nn.functional.pad; mindspore.ops.pad reads the wrong places on CPU where a number is negative."""
    if min(pad) < 0:
        input = crop(input, pad)
        pad = tuple([max(size, 0) for size in pad])
    if max(pad) == 0:
        return input
    return ops.pad(input, pad, mode=mode, value=value) if mode == 'constant' else ops.pad(input, pad, mode=mode)


def reduce_gradients(gradients):
    """Gradients averaged over all processes of a data-parallel run; of a single process, as they are."""
    if mindspore.get_auto_parallel_context("parallel_mode") != mindspore.ParallelMode.DATA_PARALLEL or get_group_size() == 1:
        return gradients
    reduce = ops.AllReduce()
    return tuple(reduce(g) / get_group_size() for g in gradients)


def packed_key(key):
    """Keys of dicts are strings or numbers."""
    if key is None or isinstance(key, (bool, int, float, str)):
        return key
    raise TypeError(f"cannot save a dict with the key {key!r}")


def packed(value, path, tensors):
    """What json can hold of a value; its tensors go into `tensors` by their path."""
    if isinstance(value, nn.Cell):
        raise TypeError("a whole network has no place in a checkpoint")
    if isinstance(value, (Tensor, np.ndarray)):
        name = path or "tensor"
        tensors[name] = value if isinstance(value, Tensor) else Tensor(value)
        return {"tensor": name, "numpy": isinstance(value, np.ndarray)}
    if isinstance(value, dict):
        return {"dict": [[packed_key(k), packed(v, f"{path}.{k}" if path else str(k), tensors)] for k, v in value.items()]}
    if isinstance(value, (list, tuple)):
        kind = "list" if isinstance(value, list) else "tuple"
        return {kind: [packed(v, f"{path}.{i}" if path else str(i), tensors) for i, v in enumerate(value)]}
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    if hasattr(value, "__dict__") and type(value).__name__ == "Namespace":
        return {"namespace": packed(vars(value), path, tensors)}
    raise TypeError(f"cannot save {type(value).__name__} at {path or 'the top'}: tensors, numbers, strings, dicts and lists only")


def made(kind, arguments):
    """An object from the arguments that it was made with."""
    return kind(**arguments)


class NetworkPickler(pickle.Pickler):
    """Pickles cells, their parameters as arrays and their primitives as the arguments that made them."""

    def reducer_override(self, obj):
        if isinstance(obj, ops.Primitive):
            arguments = {k: v for k, v in getattr(obj, "init_attrs", {}).items() if k != "name"}
            return made, (type(obj), arguments)
        if isinstance(obj, Parameter):
            return made, (Parameter, {"default_input": Tensor(obj.asnumpy()), "name": obj.name, "requires_grad": obj.requires_grad})
        if isinstance(obj, Tensor):
            return made, (Tensor, {"input_data": obj.asnumpy()})
        return NotImplemented


def pickled(obj, f):
    """Writes a pickle to a path or an open file."""
    if hasattr(f, "write"):
        NetworkPickler(f).dump(obj)
        return
    with open(os.fspath(f) + ".part", "wb") as file:
        NetworkPickler(file).dump(obj)
    os.replace(os.fspath(f) + ".part", f)


def save(obj, f, pickle_module=None, pickle_protocol=2, _use_new_zipfile_serialization=True, _disable_byteorder_record=False):
    """torch.save: a MindSpore checkpoint under any file name.

    A state dict is written under its own names, as mindspore.save_checkpoint does; other nested dicts, lists and
    numbers are described by one more entry, called "structure". What holds a whole network is pickled.
    """
    tensors = {}
    try:
        structure = packed(obj, "", tensors)
    except TypeError:
        pickled(obj, f)
        return
    plain = isinstance(obj, dict) and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in obj.items())
    text = {} if plain else {STRUCTURE: json.dumps(structure)}
    entries = [{"name": name, "data": value} for name, value in tensors.items()]
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "saved.ckpt")
        mindspore.save_checkpoint(entries or [{"name": "empty", "data": Tensor(0)}], path, append_dict=text)
        if hasattr(f, "write"):
            with open(path, "rb") as written:
                shutil.copyfileobj(written, f)
        else:
            shutil.copyfile(path, os.fspath(f) + ".part")
            os.replace(os.fspath(f) + ".part", f)


def set_device(device):
    """torch.cuda.set_device: names the device of this process where MindSpore runs on a GPU or an Ascend chip."""
    target = mindspore.get_context("device_target")
    index = device if isinstance(device, int) else getattr(device, "index", None)
    if target != "CPU" and index is not None:
        mindspore.set_device(target, index)


def topk(input, k, dim=-1, largest=True, sorted=True, *, out=None):
    """torch.topk, with int64 indices."""
    if input.ndim == 0:
        return input, ops.zeros((), mindspore.int64)
    if input.dtype == mindspore.uint8:  # of which MindSpore mixes up the order
        values, indices = ops.topk(input.astype(mindspore.int32), k, dim=dim, largest=largest, sorted=True)
        return values.astype(input.dtype), indices.astype(mindspore.int64)
    values, indices = ops.topk(input, k, dim=dim, largest=largest, sorted=True)
    return values, indices.astype(mindspore.int64)


def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """torch.nn.init.trunc_normal_: a and b are values, not numbers of deviations."""
    return _filled(tensor, _drawn(tensor, TruncatedNormal(std, mean, a, b)))


def xavier_uniform_(tensor, gain=1.0, generator=None):
    """torch.nn.init.xavier_uniform_."""
    bound = gain * math.sqrt(6.0 / sum(_calculate_fan_in_and_fan_out(tensor)))
    return _filled(tensor, _drawn(tensor, mindspore.common.initializer.Uniform(bound)))


def zeros_(tensor):
    """torch.nn.init.zeros_."""
    return constant_(tensor, 0.0)


def functional_one_hot(tensor, num_classes=-1):
    """torch.nn.functional.one_hot on MindSpore."""
    if num_classes == -1:
        return mindspore.ops.one_hot(tensor, int(tensor.max()) + 1)
    return mindspore.ops.one_hot(tensor, num_classes)
