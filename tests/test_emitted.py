"""Emitted definitions stand together in one module, so their names may not meet what they import."""

from porter.table import emitted_definitions, pure_definitions


def test_no_import_has_the_name_of_a_definition() -> None:
    defined = emitted_definitions().keys() | pure_definitions().keys()
    for definition in emitted_definitions().values():
        for line in definition.imports:
            name = line.split()[-1].partition(".")[0]
            assert name not in defined, f"{definition.name}: {line} and a definition share the name {name}"


def test_super_in_construct_names_its_class() -> None:
    """A graph takes a plain super() from the class of the object: in a subclass of a port it would call itself for ever."""
    for definition in emitted_definitions().values():
        assert "super().construct" not in definition.text, definition.name
