"""Mixed precision and loss scaling: torch.autocast and torch.amp.GradScaler."""

import mindspore
from mindspore import amp
from mindspore.train.amp import AmpDecorator, AmpLevel


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


def cuda_autocast(enabled=True, dtype=None, cache_enabled=True):
    """torch.cuda.amp.autocast."""
    return autocast("cuda", dtype, enabled, cache_enabled)


def custom_fwd(fwd=None, *, device_type=None, cast_inputs=None):
    """torch.amp.custom_fwd: the function as it is, with or without the decorator's arguments."""
    return (lambda function: function) if fwd is None else fwd


def custom_bwd(bwd=None, *, device_type=None):
    """torch.amp.custom_bwd: the function as it is, with or without the decorator's arguments."""
    return (lambda function: function) if bwd is None else bwd


def amp_strategy(dtype):
    """The operator lists of mindspore.amp.auto_mixed_precision(level="auto") as a context."""
    from mindspore.train.amp import AMP_AUTO_BLACK_LIST, AMP_AUTO_WHITE_LIST, AMP_PRIM_ARG_TABLE

    white = [(primitive.__name__, AMP_PRIM_ARG_TABLE[primitive]) for primitive in AMP_AUTO_WHITE_LIST]
    black = [(primitive.__name__, AMP_PRIM_ARG_TABLE[primitive]) for primitive in AMP_AUTO_BLACK_LIST]
    return AmpDecorator(AmpLevel.AmpAuto, dtype, white, black)


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


def cuda_grad_scaler(init_scale=65536.0, growth_factor=2.0, backoff_factor=0.5, growth_interval=2000, enabled=True):
    """torch.cuda.amp.GradScaler."""
    return GradScaler("cuda", init_scale, growth_factor, backoff_factor, growth_interval, enabled)
