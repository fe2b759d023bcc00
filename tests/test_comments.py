"""Comments inside statements that are written anew, and values of unknown kind in files without torch."""

from __future__ import annotations

from porter.convert import convert_source, convert_tree

CHAIN = """import torch


def equalize(hist: torch.Tensor, step: torch.Tensor):
    lut = hist + 1
    (
        lut.add_(step // 2)
        # no division by zero
        .div_(step, rounding_mode="floor")
        # the range of uint8
        .clamp_(0, 255)
    )
    return lut
"""


def test_comments_of_a_chain_stand_before_the_statement() -> None:
    ported = convert_source(CHAIN)
    assert not ported.diagnostics
    assert "    lut = hist + 1\n    # no division by zero\n    # the range of uint8\n    lut = ops.clamp(" in ported.text


def test_comments_that_keep_their_place_are_not_repeated() -> None:
    text = "import torch\n\n\ndef f(x: torch.Tensor):\n    return torch.max(  # values\n        x,\n        # by row\n        dim=1,\n    )[0]\n"
    ported = convert_source(text).text
    assert "    return ops.max(  # values\n        x,\n        # by row\n        axis=1,\n    )[0]\n" in ported


def test_a_chain_whose_tensor_has_another_name_is_reported() -> None:
    text = CHAIN.replace("lut = hist + 1", "lut = hist + 1\n    other = lut").replace("return lut", "return lut, other")
    assert {d.code for d in convert_source(text).diagnostics} == {"MSP204"}


def test_numbers_in_text_stay_as_they_are_without_torch() -> None:
    plain = 'def say(size):\n    return f"{size / 2**20:.1f} MB", "{:.1f}".format(size)\n'
    tree = convert_tree({"plain.py": plain, "net.py": "import torch\n\n\ndef say(loss):\n    return f'{loss:.1f}'\n"})
    assert tree.files["plain.py"] == plain
    assert "{ms_extras.number(loss):.1f}" in tree.files["net.py"]


def test_a_tensor_in_text_becomes_a_number_in_any_file() -> None:
    files = {"show.py": 'def show(loss):\n    return f"{loss:.1f}"\n', "net.py": "import torch\nfrom show import show\n\nshow(torch.zeros(1))\n"}
    assert "{loss.item():.1f}" in convert_tree(files).files["show.py"]


def test_comments_of_a_tried_import_stay() -> None:
    source = """from torch import nn

try:  # first
    # newer
    from torch.nn.utils.parametrizations import weight_norm  # here
except ImportError:  # older
    from torch.nn.utils import weight_norm  # there
# end

def f():
    return weight_norm(nn.Conv1d(2, 3, 1))
"""
    text = convert_source(source).text
    assert [text.count(f"# {word}") for word in ("first", "newer", "here", "older", "there", "end")] == [1] * 6
    assert "pass" not in text.split("def f")[0]
