import json

import pytest

from bench.commands.components import components, parameters
from bench.errors import UserError
from bench.registry import REGISTRIES


def test_without_a_kind_all_kinds_are_counted():
    lines = components("", as_json=False).splitlines()
    assert [line.split()[0] for line in lines] == list(REGISTRIES)
    counts = json.loads(components("", as_json=True))
    assert counts["augmentations"] == len(REGISTRIES["augmentations"].names())


@pytest.mark.parametrize("kind", list(REGISTRIES))
def test_a_kind_lists_every_component_with_its_first_line(kind: str):
    text = components(kind, as_json=False)
    about = json.loads(components(kind, as_json=True))
    assert list(about) == REGISTRIES[kind].names()
    for component in REGISTRIES[kind]:
        assert component.name in text
        assert component.summary in text
        assert about[component.name] == {
            "summary": component.summary,
            "parameters": parameters(component),
            "version": component.version,
            "origin": "",
        }


def test_defaults_are_shown_as_toml_writes_them():
    assert parameters(REGISTRIES["optimizers"]["adam"])["lr"] == "0.001"
    assert parameters(REGISTRIES["optimizers"]["adam"])["decay_norms"] == "true"
    assert parameters(REGISTRIES["models"]["custom_cnn"])["widths"] == "[32, 64, 128, 256]"
    assert parameters(REGISTRIES["models"]["timm"])["weights"] == "not set"
    assert parameters(REGISTRIES["augmentations"]["chain"])["steps"] == "required"


def test_an_unknown_kind_is_the_persons_mistake():
    with pytest.raises(UserError) as caught:
        components("augmentation", as_json=False)
    assert str(caught.value) == '"augmentation" is not a kind of component; did you mean "augmentations"?'
