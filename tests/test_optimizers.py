"""Every optimizer with every option, and every schedule, beside torch: 20 steps, 50 schedule steps, groups, resuming."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import mindspore
import numpy as np
import pytest
import torch
from mindspore import Parameter, Tensor

from mappings.emitted import lr_scheduler, optim
from porter.table import load_table

STARTS = [np.random.default_rng(i).normal(size=s).astype(np.float32) for i, s in enumerate([(4, 3), (3,), (2, 3, 2)])]

# each option on its own and together with others; `group` is what the second group has of its own
OPTIONS: dict[str, tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]] = {
    "SGD": ({"lr": 0.05}, [{"momentum": 0.8}, {"momentum": 0.8, "dampening": 0.3}, {"momentum": 0.8, "nesterov": True}, {"weight_decay": 0.2}, {"maximize": True}],
            {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.1}),
    "Adam": ({"lr": 0.01}, [{"betas": (0.7, 0.9)}, {"eps": 1e-2}, {"weight_decay": 0.2}, {"amsgrad": True}, {"maximize": True}, {"decoupled_weight_decay": True}],
             {"lr": 0.02, "betas": (0.5, 0.99), "eps": 1e-3, "weight_decay": 0.3}),
    "AdamW": ({"lr": 0.01}, [{"betas": (0.7, 0.9)}, {"eps": 1e-2}, {"weight_decay": 0.2}, {"amsgrad": True}, {"maximize": True}],
              {"lr": 0.02, "betas": (0.5, 0.99), "weight_decay": 0.0}),
    "Adamax": ({"lr": 0.01}, [{"betas": (0.7, 0.9)}, {"eps": 1e-2}, {"weight_decay": 0.2}, {"maximize": True}], {"lr": 0.02, "betas": (0.5, 0.99), "eps": 1e-3}),
    "NAdam": ({"lr": 0.01}, [{"betas": (0.7, 0.9)}, {"eps": 1e-2}, {"weight_decay": 0.2}, {"momentum_decay": 0.1}, {"decoupled_weight_decay": True}, {"maximize": True}],
              {"lr": 0.02, "betas": (0.5, 0.99), "momentum_decay": 0.01, "weight_decay": 0.1}),
    "RAdam": ({"lr": 0.01}, [{"betas": (0.7, 0.9)}, {"eps": 1e-2}, {"weight_decay": 0.2}, {"decoupled_weight_decay": True}, {"maximize": True}],
              {"lr": 0.02, "betas": (0.5, 0.95), "weight_decay": 0.1}),
    "RMSprop": ({"lr": 0.01}, [{"alpha": 0.8}, {"eps": 1e-2}, {"weight_decay": 0.2}, {"momentum": 0.7}, {"centered": True}, {"maximize": True}],
                {"lr": 0.02, "alpha": 0.6, "momentum": 0.3, "weight_decay": 0.1}),
    "Adagrad": ({"lr": 0.05}, [{"lr_decay": 0.1}, {"eps": 1e-2}, {"weight_decay": 0.2}, {"initial_accumulator_value": 0.3}, {"maximize": True}],
                {"lr": 0.02, "lr_decay": 0.01, "weight_decay": 0.1}),
    "Adadelta": ({"lr": 0.5}, [{"rho": 0.7}, {"eps": 1e-3}, {"weight_decay": 0.2}, {"maximize": True}], {"lr": 0.2, "rho": 0.8, "weight_decay": 0.1}),
    "ASGD": ({"lr": 0.05}, [{"lambd": 0.01}, {"alpha": 0.5}, {"t0": 5.0}, {"weight_decay": 0.2}, {"maximize": True}], {"lr": 0.02, "lambd": 0.1, "t0": 3.0}),
    "Rprop": ({"lr": 0.01}, [{"etas": (0.4, 1.3)}, {"step_sizes": (1e-3, 0.02)}, {"maximize": True}], {"lr": 0.02, "etas": (0.3, 1.1)}),
    "Adafactor": ({"lr": 0.05}, [{"beta2_decay": -0.6}, {"eps": (1e-4, 1e-2)}, {"d": 2.0}, {"weight_decay": 0.2}, {"maximize": True}], {"lr": 0.02, "d": 0.5, "weight_decay": 0.1}),
}  # fmt: skip
# how fast torch computes, and what it computes on devices or for second derivatives
WITHOUT_VALUE = {"params", "foreach", "fused", "capturable", "differentiable"}


def both(name: str, options: dict[str, Any], group: dict[str, Any]) -> tuple[list[Any], list[Any], Any, Any]:
    theirs = [torch.nn.Parameter(torch.tensor(a)) for a in STARTS]
    ours = [Parameter(Tensor(a), name=f"p{i}") for i, a in enumerate(STARTS)]
    reference = getattr(torch.optim, name)([{"params": theirs[:2]}, {"params": theirs[2:], **group}], **options)
    ported = getattr(optim, name)([{"params": ours[:2]}, {"params": ours[2:], **group}], **options)
    return theirs, ours, reference, ported


def gradients(count: int, seed: int = 5) -> list[list[np.ndarray]]:
    numbers = np.random.default_rng(seed)
    return [[numbers.normal(size=a.shape).astype(np.float32) for a in STARTS] for _ in range(count)]


def step(theirs: list[Any], reference: Any, ported: Any, values: list[np.ndarray]) -> None:
    for parameter, value in zip(theirs, values):
        parameter.grad = torch.tensor(value)
    reference.step()
    ported(tuple(Tensor(v) for v in values))


def compare(theirs: list[Any], ours: list[Any], what: object) -> None:
    for start, p, q in zip(STARTS, theirs, ours):
        expected = p.detach().numpy()
        assert np.abs(expected - start).max() > 1e-3, what
        assert np.abs(q.asnumpy() - expected).max() <= 1e-5 * np.abs(expected).max(), what


@pytest.mark.parametrize("name", OPTIONS)
def test_every_option_moves_parameters_as_torch_does(name: str) -> None:
    basis, single, group = OPTIONS[name]
    together = {k: v for option in single for k, v in option.items() if k not in ("maximize", "dampening")}
    for option, own in [*((o, {}) for o in single), ({}, group), (together, {}), (together, group)]:
        theirs, ours, reference, ported = both(name, {**basis, **option}, own)
        for values in gradients(20):
            step(theirs, reference, ported, values)
        compare(theirs, ours, (option, own))


def test_every_optimizer_and_option_is_tested_or_refused() -> None:
    table = load_table()
    for name, kind in inspect.getmembers(torch.optim, inspect.isclass):
        rows = table.get(f"torch.optim.{name}")
        assert rows, name
        if name in ("Optimizer", "LBFGS") or rows[0].refused:
            continue
        basis, single, _ = OPTIONS[name]
        tested = {k for option in [basis, *single] for k in option}
        assert set(inspect.signature(kind).parameters) - WITHOUT_VALUE == tested, name
    for name, kind in inspect.getmembers(torch.optim.lr_scheduler, inspect.isclass):
        rows = table.get(f"torch.optim.lr_scheduler.{name}")
        if kind.__module__ != "torch.optim.lr_scheduler" or name.startswith("_") or name == "LRScheduler" or (rows and rows[0].refused):
            continue
        assert rows and any(name in text for text in SCHEDULES), name


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_descends_as_torch_does(line_search: str | None) -> None:
    options = {"lr": 0.8, "max_iter": 6, "max_eval": 9, "history_size": 3, "line_search_fn": line_search}
    theirs, ours = torch.nn.Parameter(torch.tensor([-1.2, 1.0])), Parameter(Tensor(np.array([-1.2, 1.0], np.float32)), name="x")
    reference, ported = torch.optim.LBFGS([theirs], **options), optim.LBFGS([ours], **options)

    def value(x: Any) -> Any:
        return 0.5 * (1 - x[0]) ** 2 + 2 * (x[1] - x[0] * x[0]) ** 2

    def closure() -> Any:
        reference.zero_grad()
        loss = value(theirs)
        loss.backward()
        return loss

    slope = mindspore.value_and_grad(lambda: value(ours), None, ported.parameters)

    def own_closure() -> Any:
        ported.zero_grad()
        loss, found = slope()
        optim.accumulate_gradients(ported.parameters, found)
        return loss

    for _ in range(4):
        assert ported.step(own_closure).item() == pytest.approx(reference.step(closure).item(), rel=1e-4, abs=1e-7)
        assert np.abs(ours.asnumpy() - theirs.detach().numpy()).max() <= 1e-4


# --- schedules -----------------------------------------------------------------------------------------------------------

SCHEDULES: dict[str, Callable[[Any, Any], Any]] = {
    "LambdaLR of a list": lambda m, o: m.LambdaLR(o, [lambda e: 0.95**e, lambda e: 1 / (1 + e)]),
    "LambdaLR warm-up": lambda m, o: m.LambdaLR(o, lambda e: min(1.0, (e + 1) / 10) * 0.9 ** max(0, e - 10)),
    "MultiplicativeLR": lambda m, o: m.MultiplicativeLR(o, lambda e: 0.9 + 0.01 * (e % 5)),
    "StepLR": lambda m, o: m.StepLR(o, 7, 0.3),
    "MultiStepLR": lambda m, o: m.MultiStepLR(o, [5, 9, 9, 30], gamma=0.5),
    "ConstantLR": lambda m, o: m.ConstantLR(o, 0.4, 6),
    "LinearLR": lambda m, o: m.LinearLR(o, 0.2, 0.9, 11),
    "ExponentialLR": lambda m, o: m.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda m, o: m.PolynomialLR(o, 20, 1.7),
    "CosineAnnealingLR beyond its end": lambda m, o: m.CosineAnnealingLR(o, 13, 0.001),
    "CosineAnnealingWarmRestarts": lambda m, o: m.CosineAnnealingWarmRestarts(o, 4, 2, 0.001),
    "CyclicLR triangular": lambda m, o: m.CyclicLR(o, 0.01, 0.2, 6, base_momentum=0.5, max_momentum=0.8),
    "CyclicLR triangular2": lambda m, o: m.CyclicLR(o, [0.01, 0.02], [0.2, 0.1], 6, 9, "triangular2", cycle_momentum=False),
    "CyclicLR exp_range": lambda m, o: m.CyclicLR(o, 0.01, 0.2, 5, mode="exp_range", gamma=0.97),
    "CyclicLR of a function": lambda m, o: m.CyclicLR(o, 0.01, 0.2, 5, scale_fn=lambda x: 0.9**x, scale_mode="iterations"),
    "OneCycleLR": lambda m, o: m.OneCycleLR(o, 0.3, total_steps=55),
    "OneCycleLR in three phases": lambda m, o: m.OneCycleLR(o, [0.3, 0.2], epochs=11, steps_per_epoch=5, three_phase=True, anneal_strategy="linear",
                                                            pct_start=0.2, base_momentum=0.6, max_momentum=0.7, div_factor=5.0, final_div_factor=20.0),
    "OneCycleLR without momentum": lambda m, o: m.OneCycleLR(o, 0.3, total_steps=55, cycle_momentum=False),
    "SequentialLR warm-up": lambda m, o: m.SequentialLR(o, [m.LinearLR(o, total_iters=5), m.CosineAnnealingLR(o, 30), m.ExponentialLR(o, 0.9)], [5, 35]),
    "SequentialLR with restarts": lambda m, o: m.SequentialLR(o, [m.ConstantLR(o, 0.1, 4), m.CosineAnnealingWarmRestarts(o, 6)], milestones=[4]),
    "ChainedScheduler": lambda m, o: m.ChainedScheduler([m.LinearLR(o, total_iters=5), m.ExponentialLR(o, 0.9), m.MultiStepLR(o, [7, 20], 0.5)]),
    "ReduceLROnPlateau min": lambda m, o: m.ReduceLROnPlateau(o, factor=0.5, patience=2, cooldown=1, min_lr=0.001),
    "ReduceLROnPlateau max": lambda m, o: m.ReduceLROnPlateau(o, "max", 0.7, 1, 0.05, "abs", min_lr=[0.002, 0.01], eps=1e-3),
}  # fmt: skip
METRICS = [1 / (1 + 0.1 * i) + 0.03 * ((i * 7) % 5) for i in range(60)]


def made(name: str, kind: str) -> tuple[Any, Any, Any, Any]:
    _, _, reference, ported = both(kind, {"lr": 0.1, **({"momentum": 0.9} if kind == "SGD" else {})}, {"lr": 0.03})
    return reference, ported, SCHEDULES[name](torch.optim.lr_scheduler, reference), SCHEDULES[name](lr_scheduler, ported)


def advance(schedule: Any, number: int) -> None:
    schedule.step(*([METRICS[number]] if type(schedule).__name__ == "ReduceLROnPlateau" else []))


def settings(optimizer: Any) -> list[float]:
    return [v for g in optimizer.param_groups for v in (g["lr"], g.get("momentum", 0.0), *g.get("betas", ()))]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_gives_torchs_rates_and_momenta(name: str, kind: str) -> None:
    reference, ported, expected, actual = made(name, kind)
    seen = []
    for number in range(50):
        assert settings(ported) == pytest.approx(settings(reference), rel=1e-7, abs=1e-12), number
        # what a step uses is float32
        assert [float(p.asnumpy()) for p in ported.lrs] == pytest.approx([g["lr"] for g in reference.param_groups], rel=1e-7)
        seen.append(ported.param_groups[1]["lr"])
        advance(expected, number)
        advance(actual, number)
    assert len(set(seen)) > 1


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SCHEDULES)
def test_a_schedule_goes_on_from_its_state(name: str) -> None:
    reference, ported, expected, actual = made(name, "SGD")
    for number in range(17):
        advance(expected, number)
        advance(actual, number)
    saved, saved_optimizer = actual.state_dict(), ported.state_dict()
    _, again, _, resumed = made(name, "SGD")
    again.load_state_dict(saved_optimizer)
    resumed.load_state_dict(saved)
    for number in range(17, 45):
        assert settings(again) == pytest.approx(settings(reference), rel=1e-7, abs=1e-12), number
        advance(expected, number)
        advance(resumed, number)


@pytest.mark.parametrize("name", OPTIONS)
def test_an_optimizer_goes_on_from_its_state(name: str) -> None:
    basis, single, group = OPTIONS[name]
    options = {**basis, **single[-2], **single[0]}
    theirs, ours, reference, ported = both(name, options, group)
    values = gradients(20)
    for part in values[:9]:
        step(theirs, reference, ported, part)
    _, fresh, _, again = both(name, basis, {})
    for parameter, before in zip(fresh, ours):
        parameter.set_data(Tensor(before.asnumpy()))
    again.load_state_dict(ported.state_dict())
    for part in values[9:]:
        step(theirs, reference, again, part)
    compare(theirs, fresh, name)


def test_frozen_parameters_stay_and_melt() -> None:
    theirs, ours, reference, ported = both("SGD", {"lr": 0.1, "momentum": 0.5}, {})
    values = gradients(6)
    ours[1].requires_grad = False
    for number, part in enumerate(values):
        if number == 3:
            ours[1].requires_grad = True
        for index, parameter in enumerate(theirs):
            parameter.grad = None if index == 1 and number < 3 else torch.tensor(part[index])
        reference.step()
        ported(tuple(Tensor(v) for v in part))
    compare(theirs, ours, "frozen")


def test_swa_schedule_equals_torch() -> None:
    _, _, reference, ported = both("SGD", {"lr": 0.1}, {"lr": 0.03})
    for strategy in ("cos", "linear"):
        expected = torch.optim.swa_utils.SWALR(reference, 0.02, anneal_epochs=7, anneal_strategy=strategy)
        actual = lr_scheduler.SWALR(ported, 0.02, anneal_epochs=7, anneal_strategy=strategy)
        for number in range(12):
            assert settings(ported) == pytest.approx(settings(reference), rel=1e-7), number
            reference.step(), expected.step(), actual.step()


def test_a_schedule_of_the_momentum_is_not_compiled() -> None:
    _, _, _, schedule = made("OneCycleLR", "SGD")
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    try:
        with pytest.raises(ValueError, match="schedule of the momentum"):
            lr_scheduler.ScheduleStep(schedule)
        lr_scheduler.ScheduleStep(made("StepLR", "SGD")[3])
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.mark.parametrize("mode", [mindspore.GRAPH_MODE, mindspore.PYNATIVE_MODE])
def test_a_setting_that_is_compiled_into_a_larger_step_is_not_changed_silently(mode: int) -> None:
    from mindspore import nn

    mindspore.set_context(mode=mode)
    try:
        cell = nn.Dense(2, 1)
        optimizer = optim.SGD(list(cell.get_parameters()), lr=0.1, momentum=0.9)
        optimizer.param_groups[0]["weight_decay"] = 0.01
        step = nn.TrainOneStepCell(cell, optimizer)
        step(Tensor(np.ones((3, 2), np.float32)))
        optimizer.param_groups[0]["lr"] = 0.05
        optimizer.param_groups[0]["momentum"] = 0.9
        if mode == mindspore.GRAPH_MODE:
            with pytest.raises(RuntimeError, match="momentum is compiled into a larger step"):
                optimizer.param_groups[0]["momentum"] = 0.5
        else:
            optimizer.param_groups[0]["momentum"] = 0.5
        alone = optim.SGD(list(cell.get_parameters()), lr=0.1, momentum=0.9)
        alone([Tensor(np.ones(p.shape, np.float32)) for p in cell.get_parameters()])
        alone.param_groups[0]["momentum"] = 0.5
        assert alone.param_groups[0]["momentum"] == 0.5
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)


@pytest.mark.slow
def test_a_compiled_step_takes_many_parameters() -> None:
    ours = [Parameter(Tensor(np.ones(2, np.float32)), name=f"p{i}") for i in range(400)]
    optimizer = optim.SGD([{"params": ours[:200]}, {"params": ours[200:], "weight_decay": 0.1}], lr=0.1, momentum=0.9)
    mindspore.set_context(mode=mindspore.GRAPH_MODE)
    try:
        for _ in range(2):
            optimizer(tuple(Tensor(np.ones(2, np.float32)) for _ in ours))
    finally:
        mindspore.set_context(mode=mindspore.PYNATIVE_MODE)
    # the first step is 0.1 * g, the second 0.1 * (g + 0.9 g) with g = 1, or with the decay 1.1 and then 0.1 * 0.89 + 1
    assert all(np.abs(p.asnumpy() - 0.71).max() <= 1e-6 for p in ours[:200])
    assert all(np.abs(p.asnumpy() - (0.89 - 0.1 * (0.9 * 1.1 + 1.089))).max() <= 1e-6 for p in ours[200:])
