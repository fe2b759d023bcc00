"""Optimizers of torch.optim: parameter groups, torch's formulas, and a learning rate that schedulers may change."""

import math

import mindspore
import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, mint, nn, ops


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


class Adam(Optimizer):
    """torch.optim.Adam: eps is added after the bias correction, which mindspore.nn.Adam adds before it."""

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False, *, foreach=None,
        maximize=False, capturable=False, differentiable=False, fused=None, decoupled_weight_decay=False,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "amsgrad": amsgrad,
            "maximize": maximize, "decoupled_weight_decay": decoupled_weight_decay,
        })  # fmt: skip

    def new_state(self, zeros, group):
        state = {"exp_avg": zeros, "exp_avg_sq": zeros}
        return {**state, "max_exp_avg_sq": zeros} if group["amsgrad"] else state

    def update(self, parameter, gradient, lr, step, state, group):
        beta1, beta2 = group["betas"]
        if group["weight_decay"] != 0:
            if group["decoupled_weight_decay"]:
                ops.assign_sub(parameter, lr * group["weight_decay"] * parameter)
            else:
                gradient = gradient + group["weight_decay"] * parameter
        first, second = state["exp_avg"], state["exp_avg_sq"]
        ops.assign_add(first, (1 - beta1) * (gradient - first))
        ops.assign(second, beta2 * second + (1 - beta2) * gradient * gradient)
        if group["amsgrad"]:
            ops.assign(state["max_exp_avg_sq"], ops.maximum(state["max_exp_avg_sq"], second))
            second = state["max_exp_avg_sq"]
        denominator = ops.sqrt(second) / ops.sqrt(bias_correction(beta2, step)) + group["eps"]
        ops.assign_sub(parameter, lr / bias_correction(beta1, step) * first / denominator)


def bias_correction(beta, step):
    """1 - beta ** step, without the cancellation that float32 suffers for beta near 1 (and ops.expm1 on CPU with it)."""
    if beta == 0:
        return ops.ones_like(step)
    return (1 - ops.exp(step.astype(mindspore.float64) * math.log(beta))).astype(step.dtype)


class AdamW(Adam):
    """torch.optim.AdamW."""

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False, *, maximize=False,
        foreach=None, capturable=False, differentiable=False, fused=None,
    ):  # fmt: skip
        super().__init__(
            params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize, decoupled_weight_decay=True
        )


class Adamax(Optimizer):
    """torch.optim.Adamax."""

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, foreach=None, *, maximize=False,
        differentiable=False, capturable=False,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        return {"exp_avg": zeros, "exp_inf": zeros}

    def update(self, parameter, gradient, lr, step, state, group):
        beta1, beta2 = group["betas"]
        if group["weight_decay"] != 0:
            gradient = gradient + group["weight_decay"] * parameter
        ops.assign_add(state["exp_avg"], (1 - beta1) * (gradient - state["exp_avg"]))
        ops.assign(state["exp_inf"], ops.maximum(beta2 * state["exp_inf"], ops.abs(gradient) + group["eps"]))
        ops.assign_sub(parameter, lr / bias_correction(beta1, step) * state["exp_avg"] / state["exp_inf"])


class NAdam(Optimizer):
    """torch.optim.NAdam."""

    def __init__(
        self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
        decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False, differentiable=False,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay, "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        return {"exp_avg": zeros, "exp_avg_sq": zeros, "mu_product": np.ones((), np.float32)}

    def update(self, parameter, gradient, lr, step, state, group):
        beta1, beta2 = group["betas"]
        if group["weight_decay"] != 0:
            if group["decoupled_weight_decay"]:
                ops.assign_sub(parameter, lr * group["weight_decay"] * parameter)
            else:
                gradient = gradient + group["weight_decay"] * parameter
        decay = group["momentum_decay"] * math.log(0.96)
        mu = beta1 * (1 - 0.5 * ops.exp(step * decay))
        mu_next = beta1 * (1 - 0.5 * ops.exp((step + 1) * decay))
        product = state["mu_product"]
        ops.assign(product, product * mu)
        ops.assign_add(state["exp_avg"], (1 - beta1) * (gradient - state["exp_avg"]))
        ops.assign(state["exp_avg_sq"], beta2 * state["exp_avg_sq"] + (1 - beta2) * gradient * gradient)
        denominator = ops.sqrt(state["exp_avg_sq"] / bias_correction(beta2, step)) + group["eps"]
        own = lr * (1 - mu) / (1 - product) * gradient
        ops.assign_sub(parameter, (own + lr * mu_next / (1 - product * mu_next) * state["exp_avg"]) / denominator)


class RAdam(Optimizer):
    """torch.optim.RAdam."""

    def __init__(
        self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False, *,
        foreach=None, maximize=False, capturable=False, differentiable=False,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay, "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        return {"exp_avg": zeros, "exp_avg_sq": zeros}

    def update(self, parameter, gradient, lr, step, state, group):
        beta1, beta2 = group["betas"]
        if group["weight_decay"] != 0:
            if group["decoupled_weight_decay"]:
                ops.assign_sub(parameter, lr * group["weight_decay"] * parameter)
            else:
                gradient = gradient + group["weight_decay"] * parameter
        ops.assign_add(state["exp_avg"], (1 - beta1) * (gradient - state["exp_avg"]))
        ops.assign(state["exp_avg_sq"], beta2 * state["exp_avg_sq"] + (1 - beta2) * gradient * gradient)
        correction = bias_correction(beta2, step)
        limit = 2 / (1 - beta2) - 1
        exact = bias_correction(beta2, step.astype(mindspore.float64))  # float32 loses the small difference below
        length = (limit - 2 * step * (1 - exact) / exact).astype(mindspore.float32)
        rectified = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
        adaptive = ops.sqrt(correction) / (ops.sqrt(state["exp_avg_sq"]) + group["eps"])
        scale = ops.where(length > 5.0, ops.sqrt(ops.maximum(rectified, 0.0)) * adaptive, ops.ones_like(adaptive))
        ops.assign_sub(parameter, lr / bias_correction(beta1, step) * state["exp_avg"] * scale)


class RMSprop(Optimizer):
    """torch.optim.RMSprop."""

    def __init__(
        self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False, capturable=False,
        foreach=None, maximize=False, differentiable=False,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "momentum": momentum, "alpha": alpha, "eps": eps, "centered": centered,
            "weight_decay": weight_decay, "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        state = {"square_avg": zeros}
        if group["momentum"] > 0:
            state["momentum_buffer"] = zeros
        if group["centered"]:
            state["grad_avg"] = zeros
        return state

    def update(self, parameter, gradient, lr, step, state, group):
        alpha, square = group["alpha"], state["square_avg"]
        if group["weight_decay"] != 0:
            gradient = gradient + group["weight_decay"] * parameter
        ops.assign(square, alpha * square + (1 - alpha) * gradient * gradient)
        average = square
        if group["centered"]:
            ops.assign_add(state["grad_avg"], (1 - alpha) * (gradient - state["grad_avg"]))
            average = square - state["grad_avg"] * state["grad_avg"]
        change = gradient / (ops.sqrt(average) + group["eps"])
        if group["momentum"] > 0:
            ops.assign(state["momentum_buffer"], group["momentum"] * state["momentum_buffer"] + change)
            change = state["momentum_buffer"]
        ops.assign_sub(parameter, lr * change)


class Adagrad(Optimizer):
    """torch.optim.Adagrad."""

    def __init__(
        self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10, foreach=None, *,
        maximize=False, differentiable=False, fused=None,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "lr_decay": lr_decay, "eps": eps, "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value, "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        return {"sum": zeros + group["initial_accumulator_value"]}

    def update(self, parameter, gradient, lr, step, state, group):
        if group["weight_decay"] != 0:
            gradient = gradient + group["weight_decay"] * parameter
        ops.assign_add(state["sum"], gradient * gradient)
        rate = lr / (1 + (step - 1) * group["lr_decay"])
        ops.assign_sub(parameter, rate * gradient / (ops.sqrt(state["sum"]) + group["eps"]))


class Adadelta(Optimizer):
    """torch.optim.Adadelta."""

    def __init__(
        self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *, capturable=False,
        maximize=False, differentiable=False,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay, "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        return {"square_avg": zeros, "acc_delta": zeros}

    def update(self, parameter, gradient, lr, step, state, group):
        rho, eps = group["rho"], group["eps"]
        if group["weight_decay"] != 0:
            gradient = gradient + group["weight_decay"] * parameter
        square, delta = state["square_avg"], state["acc_delta"]
        ops.assign(square, rho * square + (1 - rho) * gradient * gradient)
        change = ops.sqrt(delta + eps) / ops.sqrt(square + eps) * gradient
        ops.assign(delta, rho * delta + (1 - rho) * change * change)
        ops.assign_sub(parameter, lr * change)


class ASGD(Optimizer):
    """torch.optim.ASGD."""

    def __init__(
        self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0, foreach=None, maximize=False,
        differentiable=False, capturable=False,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "lambd": lambd, "alpha": alpha, "t0": t0, "weight_decay": weight_decay, "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        return {"eta": np.float32(group["lr"]), "mu": np.ones((), np.float32), "ax": zeros}

    def update(self, parameter, gradient, lr, step, state, group):
        if group["weight_decay"] != 0:
            gradient = gradient + group["weight_decay"] * parameter
        eta, mu, average, lambd = state["eta"], state["mu"], state["ax"], group["lambd"]
        ops.assign(parameter, parameter * (1 - lambd * eta) - eta * gradient)
        ops.assign_add(average, mu * (parameter - average))
        ops.assign(eta, lr / ops.pow(1 + lambd * lr * step, group["alpha"]))
        ops.assign(mu, 1 / ops.maximum(step - group["t0"], 1.0))


class Rprop(Optimizer):
    """torch.optim.Rprop."""

    def __init__(
        self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *, capturable=False, foreach=None,
        maximize=False, differentiable=False,
    ):  # fmt: skip
        super().__init__(params, {"lr": lr, "etas": etas, "step_sizes": step_sizes, "maximize": maximize})

    def new_state(self, zeros, group):
        return {"prev": zeros, "step_size": zeros + group["lr"]}

    def update(self, parameter, gradient, lr, step, state, group):
        less, more = group["etas"]
        smallest, largest = group["step_sizes"]
        agreement = ops.sign(gradient * state["prev"])
        one = ops.ones_like(agreement)
        factor = ops.where(agreement > 0, more * one, ops.where(agreement < 0, less * one, one))
        size = ops.clamp(state["step_size"] * factor, smallest, largest)
        gradient = ops.where(agreement < 0, ops.zeros_like(gradient), gradient)
        ops.assign(state["step_size"], size)
        ops.assign_sub(parameter, ops.sign(gradient) * size)
        ops.assign(state["prev"], gradient)


class Adafactor(Optimizer):
    """torch.optim.Adafactor."""

    def __init__(
        self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0, weight_decay=0.0, *, foreach=None,
        maximize=False,
    ):  # fmt: skip
        super().__init__(params, {
            "lr": lr, "beta2_decay": beta2_decay, "eps": eps, "d": d, "weight_decay": weight_decay,
            "maximize": maximize,
        })  # fmt: skip

    def new_state(self, zeros, group):
        if zeros.ndim > 1:
            return {"row_var": zeros[..., :1], "col_var": zeros[..., :1, :]}
        return {"variance": zeros}

    def update(self, parameter, gradient, lr, step, state, group):
        smallest = 1.1920929e-07 if group["eps"][0] is None else group["eps"][0]
        share = ops.pow(step, group["beta2_decay"])
        size = float(parameter.size) ** 0.5
        rate = ops.maximum(norm_of(parameter) / size, group["eps"][1]) * ops.minimum(lr, 1 / ops.sqrt(step))
        if group["weight_decay"] != 0:
            ops.assign_sub(parameter, lr * group["weight_decay"] * parameter)
        if gradient.ndim > 1:
            row, column = state["row_var"], state["col_var"]
            ops.assign_add(row, share * ((gradient * gradient).mean(-1, True) - row))
            ops.assign_add(column, share * ((gradient * gradient).mean(-2, True) - column))
            estimate = ops.matmul(row, column) / ops.maximum(row.mean(-2, True), smallest)
        else:
            ops.assign_add(state["variance"], share * (gradient * gradient - state["variance"]))
            estimate = state["variance"]
        change = gradient / ops.sqrt(ops.maximum(estimate, smallest * smallest))
        ops.assign_sub(parameter, rate / ops.maximum(norm_of(change) / (size * group["d"]), 1.0) * change)


def norm_of(tensor):
    """The Euclidean norm of all elements."""
    return ops.sqrt((tensor * tensor).sum())


class LBFGS(Optimizer):
    """torch.optim.LBFGS: `step(closure)`, where the closure leaves gradients on the parameters and returns the loss."""

    def __init__(
        self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7, tolerance_change=1e-9, history_size=100,
        line_search_fn=None,
    ):  # fmt: skip
        if line_search_fn not in (None, "strong_wolfe"):
            raise RuntimeError("only 'strong_wolfe' is supported")
        super().__init__(params, {
            "lr": lr, "max_iter": max_iter, "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad, "tolerance_change": tolerance_change, "history_size": history_size,
            "line_search_fn": line_search_fn, "maximize": False,
        })  # fmt: skip
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self.history = {"steps": [], "changes": [], "curvatures": [], "direction": None, "t": None, "n_iter": 0}
        self.history.update(scale=1.0, gradient=None, loss=None)

    def flat_gradient(self):
        parts = [np.zeros(p.size, mindspore.dtype_to_nptype(p.dtype)) if p.grad is None else p.grad.asnumpy().ravel() for p in self.parameters]
        return np.concatenate(parts)

    def flat_values(self):
        return np.concatenate([p.asnumpy().ravel() for p in self.parameters])

    def place(self, values):
        start = 0
        for parameter in self.parameters:
            part = values[start : start + parameter.size].reshape(parameter.shape)
            parameter.set_data(Tensor(part, parameter.dtype))
            start += parameter.size

    def evaluate(self, closure, start, t, direction):
        self.place(start + t * direction)
        loss = float(closure())
        gradient = self.flat_gradient()
        self.place(start)
        return loss, gradient

    def direction_of(self, gradient):
        """The quasi-Newton direction, after the history takes up the last step."""
        past, group = self.history, self.param_groups[0]
        if past["n_iter"] == 1:
            return -gradient
        change = gradient - past["gradient"]
        step = past["direction"] * past["t"]
        curvature = float(change @ step)
        if curvature > 1e-10:
            if len(past["changes"]) == group["history_size"]:
                past["changes"].pop(0), past["steps"].pop(0), past["curvatures"].pop(0)
            past["changes"].append(change)
            past["steps"].append(step)
            past["curvatures"].append(1.0 / curvature)
            past["scale"] = curvature / float(change @ change)
        weights = []
        direction = -gradient
        rows = list(zip(past["steps"], past["changes"], past["curvatures"]))
        for step, change, curvature in reversed(rows):
            weights.append(float(step @ direction) * curvature)
            direction = direction - weights[-1] * change
        direction = direction * past["scale"]
        for (step, change, curvature), weight in zip(rows, reversed(weights)):
            direction = direction + step * (weight - float(change @ direction) * curvature)
        return direction

    def step(self, closure):
        """One call runs up to max_iter iterations; returns the loss before the first."""
        group, past = self.param_groups[0], self.history
        first = closure()
        loss, evaluations = float(first), 1
        gradient = self.flat_gradient()
        if np.abs(gradient).max() <= group["tolerance_grad"]:
            return first
        direction, t = past["direction"], past["t"]
        for iteration in range(1, group["max_iter"] + 1):
            past["n_iter"] += 1
            direction = self.direction_of(gradient)
            past["gradient"], past["loss"] = gradient, loss
            t = min(1.0, 1.0 / float(np.abs(gradient).sum())) * group["lr"] if past["n_iter"] == 1 else group["lr"]
            slope = float(gradient @ direction)
            past["direction"], past["t"] = direction, t
            if slope > -group["tolerance_change"]:
                break
            used = 1
            if group["line_search_fn"] is not None:
                start = self.flat_values()
                loss, gradient, t, used = strong_wolfe(
                    lambda x, t, d: self.evaluate(closure, x, t, d), start, t, direction, loss, gradient, slope,
                    max_ls=group["max_eval"] - evaluations,
                )  # fmt: skip
                past["t"] = t
                self.place(start + t * direction)
                flat = np.abs(gradient).max() <= group["tolerance_grad"]
            else:
                self.place(self.flat_values() + t * direction)
                flat = False
                if iteration != group["max_iter"]:
                    loss = float(closure())
                    gradient = self.flat_gradient()
                    flat = np.abs(gradient).max() <= group["tolerance_grad"]
            evaluations += used
            small = np.abs(direction * t).max() <= group["tolerance_change"]
            settled = abs(loss - past["loss"]) < group["tolerance_change"]
            if evaluations >= group["max_eval"] or flat or small or settled:
                break
        return first


def cubic_interpolate(x1, f1, g1, x2, f2, g2, bounds=None):
    """The minimum of the cubic through two points with their slopes, within bounds."""
    low, high = bounds if bounds is not None else ((x1, x2) if x1 <= x2 else (x2, x1))
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2)
    square = d1**2 - g1 * g2
    if square < 0:
        return (low + high) / 2.0
    d2 = math.sqrt(square)
    best = x2 - (x2 - x1) * ((g2 + d2 - d1) / (g2 - g1 + 2 * d2)) if x1 <= x2 else x1 - (x1 - x2) * (
        (g1 + d2 - d1) / (g1 - g2 + 2 * d2)
    )
    return min(max(best, low), high)


def strong_wolfe(evaluate, x, t, d, f, g, slope, c1=1e-4, c2=0.9, tolerance_change=1e-9, max_ls=25):
    """torch.optim.lbfgs._strong_wolfe: loss, gradient, step length and number of evaluations."""
    d_norm = float(np.abs(d).max())
    f_new, g_new = evaluate(x, t, d)
    evaluations, slope_new = 1, float(g_new @ d)
    t_prev, f_prev, g_prev, slope_prev = 0, f, g, slope
    done, iteration = False, 0
    bracket, values, gradients, slopes = [], [], [], []
    while iteration < max_ls:
        if f_new > f + c1 * t * slope or (iteration > 1 and f_new >= f_prev):
            bracketed = True
        elif abs(slope_new) <= -c2 * slope:
            bracket, values, gradients, slopes, done = [t], [f_new], [g_new], [slope_new], True
            break
        else:
            bracketed = slope_new >= 0
        if bracketed:
            bracket, values = [t_prev, t], [f_prev, f_new]
            gradients, slopes = [g_prev, g_new], [slope_prev, slope_new]
            break
        smallest, largest = t + 0.01 * (t - t_prev), t * 10
        previous = t
        t = cubic_interpolate(t_prev, f_prev, slope_prev, t, f_new, slope_new, bounds=(smallest, largest))
        t_prev, f_prev, g_prev, slope_prev = previous, f_new, g_new, slope_new
        f_new, g_new = evaluate(x, t, d)
        evaluations, slope_new, iteration = evaluations + 1, float(g_new @ d), iteration + 1
    if iteration == max_ls:
        bracket, values, gradients, slopes = [0, t], [f, f_new], [g, g_new], [slope, slope_new]
    stuck = False
    low, high = (0, 1) if values[0] <= values[-1] else (1, 0)
    while not done and iteration < max_ls:
        if abs(bracket[1] - bracket[0]) * d_norm < tolerance_change:
            break
        t = cubic_interpolate(bracket[0], values[0], slopes[0], bracket[1], values[1], slopes[1])
        margin = 0.1 * (max(bracket) - min(bracket))
        if min(max(bracket) - t, t - min(bracket)) < margin:
            if stuck or t >= max(bracket) or t <= min(bracket):
                t = max(bracket) - margin if abs(t - max(bracket)) < abs(t - min(bracket)) else min(bracket) + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        f_new, g_new = evaluate(x, t, d)
        evaluations, slope_new, iteration = evaluations + 1, float(g_new @ d), iteration + 1
        if f_new > f + c1 * t * slope or f_new >= values[low]:
            bracket[high], values[high], gradients[high], slopes[high] = t, f_new, g_new, slope_new
            low, high = (0, 1) if values[0] <= values[1] else (1, 0)
        else:
            if abs(slope_new) <= -c2 * slope:
                done = True
            elif slope_new * (bracket[high] - bracket[low]) >= 0:
                bracket[high], values[high] = bracket[low], values[low]
                gradients[high], slopes[high] = gradients[low], slopes[low]
            bracket[low], values[low], gradients[low], slopes[low] = t, f_new, g_new, slope_new
    low = low if len(bracket) > 1 else 0
    return values[low], gradients[low], bracket[low], evaluations


def value_and_grad(function, parameters, has_aux=False):
    """mindspore.value_and_grad for parameters that change while a loop runs: `parameters()` gives those of each call."""
    made = {}

    def call(*inputs):
        now = tuple(parameters())
        key = tuple(id(p) for p in now)
        if key not in made:
            made[key] = mindspore.value_and_grad(function, None, now, has_aux=has_aux)
        return made[key](*inputs)

    return call


def accumulate_gradients(parameters, gradients):
    """What loss.backward() leaves behind in torch: gradients are added to `parameter.grad`."""
    for parameter, gradient in zip(parameters, gradients):
        if parameter.requires_grad:
            held = getattr(parameter, "grad", None)
            parameter.grad = gradient if held is None else held + gradient


def all_parameters(*several):
    """The parameters of several sequences, each once."""
    return list({id(p): p for parameters in several for p in parameters}.values())


def parameters_of(*holders):
    """The parameters of those that are networks, each once."""
    return all_parameters(*(h.trainable_params() for h in holders if isinstance(h, nn.Cell)))


def zero_grad(parameters):
    """torch.nn.Module.zero_grad for gradients that accumulate_gradients left."""
    for parameter in parameters:
        parameter.grad = None


def clip_gradients_by_norm(gradients, max_norm, norm_type=2.0):
    """torch.nn.utils.clip_grad_norm_ for a tuple of gradients: the clipped ones and their norm before."""
    norm = total_norm(gradients, norm_type)
    scale = mint.clamp(max_norm / (norm + 1e-6), max=1.0)
    return tuple(g * scale for g in gradients), norm


def total_norm(gradients, norm_type=2.0):
    """torch.nn.utils.get_total_norm: the norm of all gradients as one vector."""
    dtype = gradients[0].dtype
    if dtype in (mindspore.float16, mindspore.bfloat16):  # whose powers and sums leave the dtype before their root does
        gradients = [gradient.astype(mindspore.float32) for gradient in gradients]
    if norm_type == float("inf"):
        return ops.stack([ops.abs(g).max() for g in gradients]).max().astype(dtype)
    total = ops.stack([(ops.abs(g) ** norm_type).sum() for g in gradients]).sum()
    return (total ** (1.0 / norm_type)).astype(dtype)


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """torch.nn.utils.clip_grad_norm_ for gradients that accumulate_gradients left."""
    parameters = [parameters] if isinstance(parameters, Parameter) else list(parameters)
    held = [p for p in parameters if getattr(p, "grad", None) is not None]
    if not held:
        return Tensor(0.0, mindspore.float32)
    clipped, norm = clip_gradients_by_norm([p.grad for p in held], max_norm, float(norm_type))
    if error_if_nonfinite and not math.isfinite(float(norm)):
        raise RuntimeError("the total norm of the gradients is not finite, so they cannot be clipped")
    for parameter, gradient in zip(held, clipped):
        parameter.grad = gradient
    return norm


def clip_grad_value_(parameters, clip_value, foreach=None):
    """torch.nn.utils.clip_grad_value_ for gradients that accumulate_gradients left."""
    parameters = [parameters] if isinstance(parameters, Parameter) else list(parameters)
    for parameter in parameters:
        if getattr(parameter, "grad", None) is not None:
            parameter.grad = ops.clamp(parameter.grad, -float(clip_value), float(clip_value))
