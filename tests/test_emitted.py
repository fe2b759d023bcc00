"""Emitted definitions stand together in one module, so their names may not meet what they import."""

from porter.table import emitted_definitions, pure_definitions


def test_no_import_has_the_name_of_a_definition() -> None:
    defined = emitted_definitions().keys() | pure_definitions().keys()
    for definition in emitted_definitions().values():
        for line in definition.imports:
            name = line.split()[-1].partition(".")[0]
            assert name not in defined, f"{definition.name}: {line} and a definition share the name {name}"
