"""Data sets, samplers and loaders of torch.utils.data; worker threads are those of mindspore.dataset."""

import bisect
import math

import mindspore
import numpy as np
from mindspore import Tensor, ops

from mappings.emitted.torch_random import random_numbers


class Dataset:
    """torch.utils.data.Dataset: samples by index."""

    def __class_getitem__(cls, item):
        return cls

    def __getitem__(self, index):
        raise NotImplementedError

    def __add__(self, other):
        return ConcatDataset([self, other])


def array_of(value):
    """A sample as numpy holds it, with the dtype of torch.tensor(value): Python's floats are float32, arrays keep their own."""
    if isinstance(value, Tensor):
        return value.asnumpy()
    array, first = np.array(value), value
    while isinstance(first, (list, tuple)) and len(first):
        first = first[0]
    plain = isinstance(first, (float, list, tuple)) and not isinstance(first, np.generic)
    return array.astype(np.float32) if plain and array.dtype == np.float64 else array


class IterableDataset:
    """torch.utils.data.IterableDataset: samples in the order that iteration gives them."""

    def __class_getitem__(cls, item):
        return cls

    def __iter__(self):
        raise NotImplementedError


class TensorDataset(Dataset):
    """torch.utils.data.TensorDataset."""

    def __init__(self, *tensors):
        if any(len(t) != len(tensors[0]) for t in tensors):
            raise ValueError("Size mismatch between tensors")
        self.tensors = tensors
        self.arrays = [t.asnumpy() for t in tensors]

    def __getitem__(self, index):
        return tuple(Tensor(np.asarray(a[index])) for a in self.arrays)

    def __len__(self):
        return len(self.arrays[0])


class StackDataset(Dataset):
    """torch.utils.data.StackDataset."""

    def __init__(self, *args, **kwargs):
        self.datasets = kwargs or args

    def __getitem__(self, index):
        if isinstance(self.datasets, dict):
            return {name: dataset[index] for name, dataset in self.datasets.items()}
        return tuple(dataset[index] for dataset in self.datasets)

    def __len__(self):
        return len(next(iter(self.datasets.values())) if isinstance(self.datasets, dict) else self.datasets[0])


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


class ChainDataset(IterableDataset):
    """torch.utils.data.ChainDataset."""

    def __init__(self, datasets):
        self.datasets = datasets

    def __iter__(self):
        for dataset in self.datasets:
            yield from dataset


class Subset(Dataset):
    """torch.utils.data.Subset."""

    def __init__(self, dataset, indices):
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index):
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[int(self.indices[index])]

    def __len__(self):
        return len(self.indices)


def random_split(dataset, lengths, generator=None):
    """torch.utils.data.random_split: by counts, or by shares that sum to 1."""
    lengths = list(lengths)
    if math.isclose(sum(lengths), 1) and sum(lengths) <= 1:
        counts = [math.floor(len(dataset) * share) for share in lengths]
        for i in range(len(dataset) - sum(counts)):
            counts[i % len(counts)] += 1
        lengths = counts
    if sum(lengths) != len(dataset):
        raise ValueError("Sum of input lengths does not equal the length of the input dataset!")
    order = permutation(len(dataset), generator)
    ends = np.cumsum(lengths)
    return [Subset(dataset, order[end - count : end]) for end, count in zip(ends, lengths)]


def permutation(count, generator=None):
    """A random order of range(count)."""
    return random_numbers(generator).permutation(count).tolist()


class Sampler:
    """torch.utils.data.Sampler."""

    def __init__(self, data_source=None):
        pass

    def __class_getitem__(cls, item):
        return cls

    def __iter__(self):
        raise NotImplementedError


class SequentialSampler(Sampler):
    """torch.utils.data.SequentialSampler."""

    def __init__(self, data_source):
        self.data_source = data_source

    def __iter__(self):
        return iter(range(len(self.data_source)))

    def __len__(self):
        return len(self.data_source)


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


class SubsetRandomSampler(Sampler):
    """torch.utils.data.SubsetRandomSampler."""

    def __init__(self, indices, generator=None):
        self.indices = indices
        self.generator = generator

    def __iter__(self):
        for i in permutation(len(self.indices), self.generator):
            yield self.indices[i]

    def __len__(self):
        return len(self.indices)


class WeightedRandomSampler(Sampler):
    """torch.utils.data.WeightedRandomSampler."""

    def __init__(self, weights, num_samples, replacement=True, generator=None):
        weights = weights.asnumpy() if isinstance(weights, Tensor) else weights
        self.weights = np.asarray(weights, np.float64)
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self):
        shares = self.weights / self.weights.sum()
        numbers = random_numbers(self.generator)
        return iter(numbers.choice(len(shares), self.num_samples, self.replacement, shares).tolist())

    def __len__(self):
        return self.num_samples


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
