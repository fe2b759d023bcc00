"""Input specs are read strictly, and draw what they say."""

from __future__ import annotations

import numpy as np
import pytest

from porter.diagnostics import InputError
from porter.parity.samples import InputSpec, draw, draw_all, parse_spec, perturb, round_to_bfloat16


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("float32[1,3,224,224]", InputSpec("float32", (1, 3, 224, 224))),
        ("float32[1, 3, 8, 8]", InputSpec("float32", (1, 3, 8, 8))),
        ("int64[2,16]<1000", InputSpec("int64", (2, 16), high=1000)),
        ("float32[3,4]>0", InputSpec("float32", (3, 4), low=0)),
        ("float64[3]>-1<1", InputSpec("float64", (3,), low=-1, high=1)),
        ("float32[2,5]@distinct", InputSpec("float32", (2, 5), distinct=True)),
        ("float32[2]=0.5", InputSpec("float32", (2,), value=0.5)),
        ("float32[2]=1e-3", InputSpec("float32", (2,), value=1e-3)),
        ("bool[3]", InputSpec("bool", (3,))),
        ("complex64[2,3]", InputSpec("complex64", (2, 3))),
        ("bfloat16[4]", InputSpec("bfloat16", (4,))),
        ("float32[]", InputSpec("float32", ())),
        ("float32[0,3]", InputSpec("float32", (0, 3))),
    ],
)
def test_reads(text: str, spec: InputSpec) -> None:
    assert parse_spec(text) == spec
    assert parse_spec(str(spec)) == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1,3,224,224", "not of the form"),
        ("float32(1,3)", "not of the form"),
        ("float32", "not of the form"),
        ("", "not of the form"),
        ("float23[1]", "'float23' is not a dtype"),
        ("float32[1,x]", "not a list of sizes"),
        ("float32[1,-3]", "not a list of sizes"),
        ("float32[1,,3]", "not a list of sizes"),
        ("float32[2]!", "'!' is not a constraint"),
        ("float32[2]<", "'<' is not a constraint"),
        ("float32[2]>3<1", "nothing lies above 3 and below 1"),
        ("int64[2]<0.5", "not a value of int64"),
        ("uint8[2]<1000", "not a value of uint8"),
        ("int64[2]>4<5", "no int64"),
        ("int64[20]@distinct<10", "cannot fill 20 distinct places"),
    ],
)
def test_malformed_specs_are_input_errors(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_spec(text)


def test_draws_are_seeded() -> None:
    specs = [parse_spec("float32[3,4]"), parse_spec("int64[5]<7")]
    first, again, other = draw_all(specs, 3), draw_all(specs, 3), draw_all(specs, 4)
    assert all((a == b).all() for a, b in zip(first, again, strict=False))
    assert not (first[0] == other[0]).all()


@pytest.mark.parametrize(
    "dtype", ["float16", "float32", "float64", "int8", "int32", "int64", "uint8", "bool", "complex64"]
)
@pytest.mark.parametrize("shape", ["[]", "[0,3]", "[2,3,4]"])
def test_dtype_and_shape(dtype: str, shape: str) -> None:
    spec = parse_spec(dtype + shape)
    array = draw(spec, np.random.RandomState(0))
    assert array.dtype == dtype
    assert array.shape == spec.shape


def test_ranges_hold() -> None:
    rng = np.random.RandomState(0)
    assert (draw(parse_spec("float32[1000]>0"), rng) > 0).all()
    assert (draw(parse_spec("float32[1000]<-1"), rng) < -1).all()
    inside = draw(parse_spec("float32[1000]>-1<1"), rng)
    assert (np.abs(inside) < 1).all()
    assert inside.std() > 0.4
    integers = draw(parse_spec("int64[1000]<7"), rng)
    assert set(integers.tolist()) == set(range(7))
    assert set(draw(parse_spec("int32[1000]>2<5"), rng).tolist()) == {3, 4}
    assert (draw(parse_spec("int64[3]=2"), rng) == 2).all()


@pytest.mark.parametrize("text", ["float32[7,11]@distinct", "int64[40]@distinct", "int64[7]@distinct<7"])
def test_distinct_has_no_ties(text: str) -> None:
    array = draw(parse_spec(text), np.random.RandomState(0))
    assert len(np.unique(array)) == array.size


def test_bfloat16_values_are_those_of_torch() -> None:
    torch = pytest.importorskip("torch")
    array = np.random.RandomState(0).randn(1000).astype(np.float32)
    rounded = torch.from_numpy(array).to(torch.bfloat16).float().numpy()
    assert (round_to_bfloat16(array) == rounded).all()


def test_perturb_leaves_no_constant_parameter_and_calibrates_statistics() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Dropout(), torch.nn.Flatten()
    )
    module.train()
    module[2].eval()
    before = module[0].weight.detach().clone()
    inputs = torch.randn(4, 3, 8, 9)
    perturb(module, 0, [inputs])
    assert all(p.std() > 0 for p in module.parameters())
    assert torch.equal(module[0].weight, before)
    convolved = module[0](inputs)
    spread = convolved.std((0, 2, 3))
    assert ((module[1].running_mean - convolved.mean((0, 2, 3))).abs() < 0.5 * spread).all()
    assert ((module[1].running_var.sqrt() / spread).log().abs() < 0.3).all()
    assert not torch.allclose(
        module[1].running_var, convolved.var((0, 2, 3))
    )  # else no momentum would move it
    assert [m.training for m in module] == [True, True, False, True]
    assert module[1].momentum == 0.1


def test_perturb_survives_one_value_per_channel() -> None:
    torch = pytest.importorskip("torch")
    module = torch.nn.BatchNorm1d(3)
    perturb(module, 0, [torch.randn(1, 3)])
    assert torch.isfinite(module.running_var).all()
