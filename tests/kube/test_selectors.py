"""Whether objects fulfil the requirements of a selector, however many there are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metricsapi.kube.field_selectors import FieldTerm, conditions_of
from metricsapi.kube.selector_parser import parse_labels
from metricsapi.kube.selectors import Conditions, Requirement, SelectorError

KEYS = st.sampled_from(["app", "tier", "n", "a.example/b", "c", "d"])
VALUES = st.sampled_from(["", "x", "y", "5", "-3", "07", "9" * 30])
NUMBERS = st.sampled_from(["-3", "0", "5", "6"])
REQUIREMENTS = st.one_of(
    st.builds(Requirement, KEYS, st.sampled_from(["exists", "!"])),
    st.builds(
        Requirement,
        KEYS,
        st.sampled_from(["in", "notin"]),
        st.frozensets(VALUES, min_size=1, max_size=3),
    ),
    st.builds(
        Requirement,
        KEYS,
        st.sampled_from(["gt", "lt"]),
        st.frozensets(NUMBERS, min_size=1, max_size=1),
    ),
)


@given(st.lists(REQUIREMENTS, max_size=30), st.dictionaries(KEYS, VALUES))
def test_conditions_are_met_by_what_fulfils_every_requirement(requirements, labels):
    conditions = Conditions(requirements)
    expected = all(requirement.matches(labels) for requirement in requirements)
    assert conditions.met_by(labels) is expected
    assert bool(conditions) is bool(requirements)


def test_thousands_of_requirements_are_looked_at_once_and_not_for_each_object():
    """A selector of 8 KiB had kept the server busy for seconds, and for a minute with more pods."""
    looked_at = []

    class Counted(Requirement):
        def matches(self, labels):
            looked_at.append(self.key)
            return super().matches(labels)

    counted = [Counted(f"k{number}", "!") for number in range(2000)]
    counted += [Counted("app", "notin", frozenset([str(number)])) for number in range(2000)]
    conditions = Conditions(counted)
    for number in range(1000):
        assert conditions.met_by({"app": f"x{number}", "tier": "web"})
    assert len(looked_at) == 1000  # one a pod, by the label that it has
    assert not conditions.met_by({"app": "7"})
    assert not conditions.met_by({"app": "x", "k1999": ""})


def test_a_selector_of_one_requirement_is_met_as_it_says():
    for text, met in {
        "app": True,
        "!app": False,
        "app=x": True,
        "app!=x": False,
        "n>1": False,
    }.items():
        assert Conditions(parse_labels(text)).met_by({"app": "x", "tier": ""}) is met


FIELDS = st.sampled_from(["metadata.name", "metadata.namespace"])
TERMS = st.builds(FieldTerm, FIELDS, st.sampled_from(["", "a", "b", "c"]), st.booleans())


@given(st.lists(TERMS, max_size=8), st.sampled_from(["", "a", "b"]), st.sampled_from(["a", "c"]))
def test_conditions_on_fields_mean_what_the_terms_mean(terms, name, namespace):
    values = {"metadata.name": name, "metadata.namespace": namespace}
    conditions = conditions_of(terms)
    expected = all((values[term.field] == term.value) is not term.negated for term in terms)
    assert all(each.met_by(values[each.field]) for each in conditions) is expected
    assert len(conditions) <= 4


def test_an_error_quotes_values_as_go_does():
    with pytest.raises(SelectorError) as error:
        parse_labels('a in ("x\x01\\)')
    assert str(error.value).startswith(
        r'unable to parse requirement: values[0][a]: Invalid value: "\"x\x01\\": a valid label'
    )
