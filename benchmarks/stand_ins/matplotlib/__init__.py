"""matplotlib without figures, for the recorders of train_scripts.py."""


def use(backend: str) -> None:
    pass
