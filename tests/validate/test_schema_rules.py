"""Each rule of a schema is carried out, refused when it is read, or named in a warning."""

from __future__ import annotations

from itertools import product

import pytest
from google.protobuf import text_format
from tensorflow_data_validation.utils import schema_util
from tensorflow_metadata.proto.v0 import schema_pb2

from mfx.validate import schema_rules

COUNTED = "infinity_norm or jensen_shannon_divergence would work"
DIVERGENCE = "jensen_shannon_divergence would work"
MARK = ", or infinity_norm with int_domain { is_categorical: true }"


def parsed(text: str) -> schema_pb2.Schema:
    return text_format.Parse(text, schema_pb2.Schema())


def of_feature(text: str) -> schema_pb2.Schema:
    return parsed(f'feature {{ name: "f" {text} }}')


def comparing(name: str, norm: str) -> str:
    return f"{name} {{ {norm} {{ threshold: 0.1 }} }}"


@pytest.mark.parametrize("name", ["skew_comparator", "drift_comparator"])
@pytest.mark.parametrize("norm", ["infinity_norm", "normalized_abs_difference"])
@pytest.mark.parametrize(
    ("kind", "works"),
    [
        ("type: INT", DIVERGENCE + MARK),
        ("type: INT int_domain { min: 0 max: 9 }", DIVERGENCE + MARK),
        ("type: INT time_domain { integer_format: UNIX_SECONDS }", DIVERGENCE + MARK),
        ("type: FLOAT", DIVERGENCE),
        ("type: BYTES image_domain {}", "no distance works for images: remove it"),
    ],
)
def test_a_distance_of_counts_needs_a_category(name, norm, kind, works):
    (line,) = schema_rules.problems(of_feature(f"{kind} {comparing(name, norm)}"))
    shown = kind.split()[1]
    expected = f"{name} {norm} has no effect on {shown}, whose values are not counted; {works}"
    assert line == f"feature 'f': {expected}"


@pytest.mark.parametrize("name", ["skew_comparator", "drift_comparator"])
@pytest.mark.parametrize(
    "text",
    [
        f"{kind} NAME {{ {norm} {{ threshold: 0.1 }} }}"
        for kind, norm in [
            *product(
                [
                    "type: BYTES",
                    'type: BYTES string_domain { value: "a" }',
                    "type: BYTES int_domain { min: 1 }",
                    "type: INT int_domain { is_categorical: true }",
                    "type: INT bool_domain {}",
                ],
                ["infinity_norm", "jensen_shannon_divergence", "normalized_abs_difference"],
            ),
            ("type: INT", "jensen_shannon_divergence"),
            ("type: FLOAT", "jensen_shannon_divergence"),
            ("type: FLOAT lifecycle_stage: DEPRECATED", "infinity_norm"),
        ]
    ],
)
def test_what_can_act_is_taken(name, text):
    assert schema_rules.problems(of_feature(text.replace("NAME", name))) == []


@pytest.mark.parametrize(
    ("schema", "line"),
    [
        (
            'feature { name: "f" type: BYTES skew_comparator {} }',
            f"feature 'f': skew_comparator has no distance; {COUNTED}",
        ),
        ('feature { name: "f" type: INT } feature { name: "f" type: INT }', "listed 2 times"),
        ('feature { name: "f" type: BYTES domain: "card" }', "no string_domain 'card'"),
        (
            'feature { name: "f" type: BYTES domain: "card" } string_domain { name: "cards" }',
            "no string_domain 'card'; did you mean 'cards'?",
        ),
        (
            'feature { name: "f" type: INT domain: "h" } int_domain { name: "h" }',
            "domain does not go with INT; int_domain would work",
        ),
        (
            'feature { name: "f" type: FLOAT int_domain { min: 0 } }',
            "int_domain does not go with FLOAT; float_domain would work",
        ),
        (
            'feature { name: "f" type: FLOAT float_domain { is_categorical: true } }',
            "floats cannot be categories; type INT or BYTES would work",
        ),
        (
            'feature { name: "f" type: INT bool_domain { true_value: "1" } }',
            "true_value and false_value are for texts",
        ),
        (
            'feature { name: "f" type: INT distribution_constraints { min_domain_mass: 0.9 } }',
            "min_domain_mass works only with string_domain or domain",
        ),
        (
            'feature { name: "f" type: INT unique_constraints { max: 9 } }',
            "unique_constraints has no effect on INT, whose values are not counted; int_domain",
        ),
        ('sparse_feature { name: "s" }', "sparse_feature has no effect"),
        ('weighted_feature { name: "s" }', "use example_weight under [evaluate]"),
        (
            'tensor_representation_group { key: "mine" value { } }',
            "tensor_representation_group 'mine' has no effect",
        ),
        ('default_environment: "SERVING"', "no 'TRAINING', in which examples are checked"),
        (
            'feature { name: "f" type: INT in_environment: "TRANING" } '
            'default_environment: "TRAINING"',
            "no environment 'TRANING'; did you mean 'TRAINING'?",
        ),
    ],
)
def test_what_nothing_would_carry_out_is_one_line(schema, line):
    (found,) = schema_rules.problems(parsed(schema))
    assert line in found


def test_all_problems_are_found_at_once():
    schema = parsed(
        'feature { name: "a" type: INT skew_comparator { infinity_norm { threshold: 0.1 } } }'
        'feature { name: "b" type: FLOAT int_domain { min: 0 } }'
    )
    assert len(schema_rules.problems(schema)) == 2


KINDS = [
    f"type: {kind} {domain}"
    for kind, domains in {
        "BYTES": [
            *("", 'domain: "d"', "string_domain {}", "bool_domain {}", "int_domain {}"),
            *("float_domain {}", "url_domain {}", "mid_domain {}", "natural_language_domain {}"),
        ],
        "INT": [
            *("", "int_domain {}", "int_domain { is_categorical: true }", "bool_domain {}"),
            *("time_domain {}", "natural_language_domain {}"),
        ],
        "FLOAT": ["", "float_domain { max: 2 }"],
    }.items()
    for domain in domains
]


@pytest.mark.parametrize("kind", KINDS)
def test_categories_are_those_of_tfdv(kind):
    (feature,) = of_feature(kind).feature
    assert schema_rules.is_category(feature) == schema_util.is_categorical_feature(feature)


def test_images_are_no_categories_as_tfdv_counts_none_of_them():
    (feature,) = of_feature("type: BYTES image_domain {}").feature
    assert not schema_rules.is_category(feature)
    assert schema_util.get_bytes_features(of_feature("type: BYTES image_domain {}"))


def test_what_a_run_does_not_check_is_said():
    schema = parsed(
        'feature { name: "a" type: BYTES '
        "drift_comparator { infinity_norm { threshold: 0.1 } } group_presence { required: true } }"
        'feature { name: "b" type: BYTES time_domain { string_format: "%Y" } }'
        'feature { name: "c" type: BYTES deprecated: true url_domain {} }'
        'feature { name: "d" type: BYTES skew_comparator { infinity_norm { threshold: 0.1 } } }'
        "dataset_constraints { num_examples_drift_comparator { min_fraction_threshold: 0.5 } }"
    )
    found = schema_rules.not_carried_out(schema)
    assert list(found) == ["a", "b", "<dataset>"]
    assert "drift_comparator is not checked: a run compares its splits" in found["a"]
    assert "group_presence is not checked" in found["a"]
    assert found["<dataset>"].startswith("num_examples_drift_comparator is not checked")


def test_integers_of_a_bool_domain_are_from_0_to_1():
    plain = of_feature("type: INT bool_domain {}")
    (feature,) = schema_rules.for_tfdv(plain).feature
    assert (feature.int_domain.min, feature.int_domain.max) == (0, 1)
    assert not feature.int_domain.is_categorical
    assert plain.feature[0].HasField("bool_domain")
    compared = of_feature(f"type: INT bool_domain {{}} {comparing('skew_comparator', NORM)}")
    assert schema_rules.for_tfdv(compared).feature[0].int_domain.is_categorical


NORM = "infinity_norm"


def test_examples_are_held_to_the_training_environment_where_there_are_environments():
    assert schema_rules.environment(parsed("")) is None
    assert schema_rules.environment(parsed('default_environment: "TRAINING"')) == "TRAINING"
