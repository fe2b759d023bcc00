"""Writes the training scripts that train_scripts.py runs, with made data, into a folder.

    python benchmarks/train_corpus.py OUT [--mirror DIR]
    python benchmarks/train_scripts.py OUT/cases.json --only mnist vae [--control]

The sources come from GitHub at fixed commits, or from bare copies below DIR (owner+name/repo, owner+name.git or
owner/name.git). They stay as they are but for the edits named below. Data is drawn by numpy from fixed seeds, packages that
only serve data or pictures are stand-ins (stand_ins/), and torchvision without its compiled operators comes through pip.
The first eight are the scripts of the project's aim.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import train_data as data
from sweep import NO_OPS, unpack

HERE = Path(__file__).resolve().parent
COMMITS = {
    "karpathy/nanoGPT": "3adf61e154c3fe3fca428ad6bc3818b27a3b8291",
    "kuangliu/pytorch-cifar": "49b7aa97b0c12fe0d4054e670403a16b6b834ddd",
    "pytorch/examples": "77f55b912142e11fcfdf5b530231fb9c52f181e8",
}
SOURCES = (".py", ".yaml")
# over torchvision's files: no compiled operators, and made data passes for the archives that its datasets check
TORCHVISION = {
    "extension.py": f"{NO_OPS}\n\ndef _load_library(name):\n    return False\n",
    "_meta_registrations.py": "",
    "datasets/utils.py": "\n\ndef check_integrity(fpath, md5=None):\n    return os.path.isfile(fpath)\n",
}


@dataclass(frozen=True)
class Script:
    """A training script: its folder in a repository, arguments, data, stand-ins, and texts to replace."""

    name: str
    repository: str
    folder: str
    script: str = "main.py"
    arguments: str = ""
    makers: tuple[data.Maker, ...] = ()
    steps: int = 20
    stand_ins: tuple[str, ...] = ()
    edits: tuple[tuple[str, str], ...] = ()
    environment: tuple[tuple[str, str], ...] = ()
    convert: tuple[str, ...] = ()


MNIST = data.mnist("data")
SMALL_GPT = (
    "--device=cpu --compile=False --dtype=float32 --dataset=chars --batch_size=8 --block_size=64 --n_layer=4 --n_head=4 "
    "--n_embd=128 --eval_interval=10 --eval_iters=2 --warmup_iters=5 --lr_decay_iters=40 --max_iters=40"
)
GPT = ("karpathy/nanoGPT", ".", "train.py")
GPT_FILES = ("train.py", "model.py", "configurator.py")
LANGUAGE = ("pytorch/examples", "word_language_model")
WIKITEXT = (data.wikitext("data/wikitext-2"),)
CIFAR = ("kuangliu/pytorch-cifar", ".")
# utils.py asks stty for the width of the terminal
TERMINAL = (("PATH", f"{HERE / 'stand_ins' / 'bin'}{os.pathsep}{os.environ['PATH']}"),)


def cifar(name: str, network: str) -> Script:
    edits = (("net = SimpleDLA()", f"net = {network}"),)
    # at its own rate of 0.1 torch parts from itself by a twentieth within four steps
    return Script(name, *CIFAR, arguments="--lr 0.001", makers=(data.cifar10("data"),), edits=edits, environment=TERMINAL)


def example(folder: str, *, name: str = "", **more: object) -> Script:
    return Script(name or folder, "pytorch/examples", folder, **more)  # type: ignore[arg-type]


def language(name: str, arguments: str) -> Script:
    return Script(f"word_language_model_{name}", *LANGUAGE, arguments=arguments, makers=WIKITEXT)


SCRIPTS = [
    example("mnist", makers=(MNIST,)),
    cifar("cifar", "ResNet18()"),
    # at its own rate of 2e-4 torch parts from itself by a hundredth within four steps of both networks
    example("dcgan", arguments="--dataset folder --dataroot pictures --batchSize 16 --manualSeed 1 --niter 3 --lr 0.00002",
            makers=(data.images(["pictures/one", "pictures/two"], 80, 72),)),
    example("vae", arguments="--batch-size 64", makers=(MNIST, data.empty("results"))),
    Script("word_language_model", *LANGUAGE, makers=WIKITEXT),
    # at its own rate of 1 torch parts from itself by a tenth within ten steps; numpy 1 does not know copy=None, and MindSpore does not run on numpy 2
    example("siamese_network", arguments="--lr 0.001", makers=(MNIST,), edits=((", dtype=None, copy=None", ""),)),
    example("time_sequence_prediction", script="train.py", makers=(data.sine_waves(),), stand_ins=("matplotlib",),
            # the data is a numpy array, which torch.load takes since 2.6 only with this
            environment=(("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1"),), convert=("train.py",)),
    Script("nanogpt", *GPT, f"{SMALL_GPT} --gradient_accumulation_steps=1", (data.characters("data/chars"),), convert=GPT_FILES),
    # beyond the eight
    Script("nanogpt_accumulated", *GPT, f"{SMALL_GPT} --gradient_accumulation_steps=4 --dropout=0.2 --bias=True",
           (data.characters("data/chars"),), 80, convert=GPT_FILES),
    cifar("cifar_dla", "SimpleDLA()"),
    cifar("cifar_mobilenet_v2", "MobileNetV2()"),
    cifar("cifar_vgg", "VGG('VGG11')"),
    language("lstm_tied", "--tied --dropout 0.1"),
    language("gru", "--model GRU --lr 5"),
    language("rnn_tanh", "--model RNN_TANH --lr 1"),
    language("rnn_relu", "--model RNN_RELU --lr 1"),
    language("transformer", "--model Transformer --lr 5"),
    language("optimizer", "--model Transformer --use-optimizer --lr 0.001"),
    example("mnist_rnn", makers=(MNIST,)),
    example("mnist_forward_forward", arguments="--epochs 12", makers=(data.mnist("data"),)),
    example("mnist_hogwild", makers=(MNIST,)),
    example("super_resolution", arguments="--upscale_factor 3 --batchSize 4 --nEpochs 3",
            makers=(data.images(["dataset/BSDS300/images/train", "dataset/BSDS300/images/test"], 40, 260),)),
    example("fast_neural_style", script="neural_style/neural_style.py",
            arguments="train --dataset pictures --style-image style/0/0000.png --save-model-dir saved --image-size 64 --batch-size 2",
            makers=(data.images(["pictures/one", "pictures/two"], 10, 72), data.images(["style/0"], 1, 64))),
    example("regression"),
    example("gcn", makers=(data.cora(archive=True),), stand_ins=("requests.py",)),
    example("gat", makers=(data.cora(archive=False),), stand_ins=("requests.py",)),
    example("imagenet", arguments="-b 4 -j 0 --epochs 2 pictures",
            makers=(data.images(["pictures/train/one", "pictures/train/two"], 24, 240),
                    data.images(["pictures/val/one", "pictures/val/two"], 4, 240))),
    example("language_translation", arguments="--batch 16 --embed_size 64 --dim_feedforward 64 --attn_heads 4 --enc_layers 2 --dec_layers 2",
            makers=(data.translations("multi30k"),), stand_ins=("torchtext",)),
    example("reinforcement_learning", name="reinforce", script="reinforce.py", stand_ins=("gymnasium.py",)),
    example("reinforcement_learning", name="actor_critic", script="actor_critic.py", stand_ins=("gymnasium.py",)),
]  # fmt: skip


def bare_copy(repository: str, out: Path, mirror: Path | None) -> Path:
    """A bare git directory that holds the commit of a repository."""
    if mirror is not None:
        joined = repository.replace("/", "+")
        found = [mirror / name for name in (f"{joined}/repo", f"{joined}.git", f"{repository}.git")]
        return next(folder for folder in found if folder.is_dir())
    folder = out / "repositories" / f"{repository}.git"
    if not folder.is_dir():
        subprocess.run(["git", "init", "-q", "--bare", str(folder)], check=True)
        address = f"https://github.com/{repository}"
        subprocess.run(["git", f"--git-dir={folder}", "fetch", "-q", "--depth", "1", address, COMMITS[repository]], check=True)
    return folder


def write_sources(script: Script, bare: Path, target: Path) -> None:
    git, commit = ["git", f"--git-dir={bare}"], COMMITS[script.repository]
    where = [] if script.folder == "." else [script.folder]
    listed = subprocess.run([*git, "ls-tree", "-r", "--name-only", commit, *where], check=True, capture_output=True, text=True)
    for name in listed.stdout.splitlines():
        if name.endswith(SOURCES):
            text = subprocess.run([*git, "show", f"{commit}:{name}"], check=True, capture_output=True, text=True).stdout
            for old, new in script.edits:
                text = text.replace(old, new)
            file = target / Path(name).relative_to(script.folder)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def write_torchvision(out: Path) -> Path:
    """torchvision's Python files; files of datasets keep what they have."""
    folder = unpack("torchvision", out)
    for name, text in TORCHVISION.items():
        file = folder / "torchvision" / name
        kept = file.read_text().removesuffix(text) if name.startswith("datasets") else ""
        file.write_text(kept + text)
    return folder


def write_stand_ins(script: Script, target: Path) -> None:
    target.mkdir(parents=True)
    for name in script.stand_ins:
        source = HERE / "stand_ins" / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        else:
            shutil.copy(source, target / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--mirror", type=Path, help="folder of bare git copies, instead of GitHub")
    options = parser.parse_args()
    out = options.out.resolve()
    torchvision = write_torchvision(out)
    cases = []
    for script in SCRIPTS:
        base = out / "scripts" / script.name
        shutil.rmtree(base, ignore_errors=True)
        write_sources(script, bare_copy(script.repository, out, options.mirror), base / "source")
        (base / "data").mkdir()
        for make in script.makers:
            make(base / "data")
        write_stand_ins(script, base / "packages")
        cases.append({
            "name": script.name, "root": str(base / "source"), "script": script.script, "args": shlex.split(script.arguments),
            "steps": script.steps, "data": str(base / "data"), "path": [str(base / "packages")],
            "torch_path": [str(torchvision)], "env": dict(script.environment), "convert": list(script.convert),
        })  # fmt: skip
    (out / "cases.json").write_text(json.dumps(cases, indent=1))
    print(f"{len(cases)} scripts in {out / 'cases.json'}")


if __name__ == "__main__":
    main()
