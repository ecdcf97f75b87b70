"""manifests/rendered/ is what `make manifests` writes, for every variant and every component."""

import pytest
import yaml

import metricsapi
from tests.install.objects import MANIFESTS, RENDERED, VARIANTS, args, container, load_script, parse

render = load_script(MANIFESTS / "render.py")


@pytest.mark.parametrize("variant", render.variants())
def test_the_committed_rendering_is_current(kubectl, variant):
    committed = {path.name: path.read_text() for path in (RENDERED / variant).iterdir()}
    assert committed == render.files(variant), "run `make manifests`"


@pytest.mark.parametrize("variant", render.variants())
def test_apiservices_are_in_a_file_of_their_own(variant):
    """A file that registers an API is applied once there is a server behind it."""

    def kinds(name):
        return {kind for kind, _, _ in parse((RENDERED / variant / name).read_text())}

    assert kinds("apiservice.yaml") == {"APIService"}
    assert "APIService" not in kinds("components.yaml")


def test_nothing_rendered_is_left_of_a_variant_that_is_gone():
    assert render.variants() == VARIANTS


def test_every_component_is_in_a_variant():
    components = {path.name for path in (MANIFESTS / "components").iterdir()}
    used = set()
    for variant in render.variants():
        for path in (MANIFESTS / "variants" / variant).rglob("kustomization.yaml"):
            listed = yaml.safe_load(path.read_text()).get("components", [])
            used |= {component.rpartition("/")[2] for component in listed}
    assert used == components


@pytest.mark.parametrize(
    "image",
    [
        "registry.example:5000/team/metricsapi:1.2.3",
        "metricsapi:1.2.3",
        "registry.example/metricsapi@sha256:" + "0" * 64,
    ],
)
def test_an_image_can_be_named(kubectl, image):
    assert container(parse(render.render("default", image)))["image"] == image


def test_an_image_without_a_tag_is_latest_as_everywhere(kubectl):
    objects = parse(render.render("default", "registry.example:5000/metricsapi"))
    assert container(objects)["image"] == "registry.example:5000/metricsapi:latest"


def test_naming_an_image_changes_nothing_else(kubectl):
    named = render.render("high-availability", "elsewhere/metricsapi:9")
    plain = render.render("high-availability")
    assert named.replace("elsewhere/metricsapi:9", f"metricsapi:{metricsapi.__version__}") == plain


def test_the_default_image_has_the_version_of_the_package(kubectl):
    assert container(parse(render.render("default")))["image"] == (
        f"metricsapi:{metricsapi.__version__}"
    )


def test_all_components_work_together(kubectl, tmp_path):
    """Patches that find their object by position would break when another one came before."""
    together = MANIFESTS / "components"
    links = "\n".join(f"  - {path.name}" for path in sorted(together.iterdir()))
    for folder in ("base", "components"):
        (tmp_path / folder).symlink_to(MANIFESTS / folder)
    kustomization = tmp_path / "kustomization.yaml"
    listed = links.replace("- ", "- components/")
    kustomization.write_text(f"resources:\n  - base\ncomponents:\n{listed}\n")
    objects = parse(render.kustomize(tmp_path))
    assert {flag.partition("=")[0] for flag in args(objects)} >= {
        "--kubelet-insecure-tls",
        "--kubelet-transport",
        "--resources",
    }
    assert "--secure-port=4443" in args(objects)
