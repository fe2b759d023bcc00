"""What data loaders give: the kinds of their batches, from the samples of their data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from porter import kinds as K
from porter.kinds import ANY, Kind, Kinds, join, one

if TYPE_CHECKING:
    from porter.infer.annotations import Annotations

LOADER = "torch.utils.data.DataLoader"
BATCH = join(K.TENSOR, K.list_of(K.TENSOR))


def annotated_object(inference: Annotations, name: str | None) -> Kinds:
    """What an annotation with the name of a row that returns an object promises: a loader, an optimizer, a schedule."""
    rows = inference.table.get(name or "")
    if not rows or not rows[0].returns.startswith("object[") or rows[0].kind != "function":
        return K.NOTHING
    kinds = K.returned(rows[0].returns)
    return one("object", LOADER, (BATCH,)) if any(k.of == LOADER for k in kinds) else kinds


def loader_object(inference: Annotations, positional: list[Kinds], keywords: dict[str, Kinds]) -> Kinds:
    """A DataLoader with what its batches are: samples of its data set, collated."""
    collate = keywords.get("collate_fn", K.NOTHING)
    if collate and collate != K.NONE:
        functions = [inference.program.functions[k.of] for k in collate if k.name == "function" and k.of in inference.program.functions]
        found = join(*(inference.returned_by(f) for f in functions))
        return one("object", LOADER, (found or ANY,))
    dataset = positional[0] if positional else keywords.get("dataset", ANY)
    samples = join(*(_sample(inference, k) for k in dataset)) or ANY
    batches = _collated(samples)
    return one("object", LOADER, (BATCH if batches & ANY else batches,))


def _sample(inference: Annotations, dataset: Kind) -> Kinds:
    found = inference.program.method(dataset.of, "__getitem__") if dataset.of in inference.program.classes else None
    if found is not None:
        return inference.returned_by(found[1])
    if dataset.of.startswith("torchvision.datasets.") and dataset.of.rpartition(".")[2] in _LABELLED:
        return K.tuple_of(K.TENSOR, K.INT)
    return ANY


def _collated(sample: Kinds) -> Kinds:
    """What torch.utils.data.default_collate makes of samples."""
    found = []
    for kind in sample:
        if kind.name in ("tuple", "list"):
            items = tuple(join(*(_leaf(k) for k in i)) or K.TENSOR for i in kind.items)
            found.append(one(kind.name, items=items))
        else:
            found.append(_leaf(kind))
    return join(*found)


def _leaf(kind: Kind) -> Kinds:
    if kind.name == "str":
        return K.list_of(K.STR)
    if kind.name in ("tuple", "list"):
        return _collated(frozenset({kind}))
    if kind.name == "dict":
        return one("dict", items=(join(*(_leaf(k) for k in (kind.items[0] if kind.items else ANY))),))
    # of a sample of unknown kind default_collate makes a tensor, or a list of texts, which the program tells by what it asks of it
    return K.TENSOR


_LABELLED = frozenset(["MNIST", "FashionMNIST", "KMNIST", "EMNIST", "CIFAR10", "CIFAR100", "ImageFolder", "ImageNet", "SVHN", "STL10", "FakeData"])
