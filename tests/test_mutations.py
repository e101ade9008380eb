"""The limits that ``try_mutations.py`` takes out one by one, and its table, are those of today."""

import ast
from collections import Counter

from source_tree import ROS_SOURCE
from try_mutations import MUTATIONS, read_table


def test_each_limit_stands_once_in_its_file_which_can_be_read_without_it():
    for mutation in MUTATIONS:
        ast.parse(mutation.applied(), filename=mutation.limit)


def test_the_tests_that_are_to_notice_are_there():
    for file, _, name in {test.partition("::") for mutation in MUTATIONS for test in mutation.tests}:
        assert f"def {name}" in (ROS_SOURCE / file).read_text(encoding="utf-8")


def test_no_limit_is_named_twice():
    assert [name for name, times in Counter(one.limit for one in MUTATIONS).items() if times > 1] == []


def test_the_table_has_every_limit_and_the_tests_that_noticed_are_there():
    noticed_by = read_table()
    assert set(noticed_by) == {mutation.limit for mutation in MUTATIONS}
    assert [limit for limit, test in noticed_by.items() if not test] == []
    for noticed in noticed_by.values():
        file, _, test = noticed.partition("::")
        places = [place.read_text(encoding="utf-8") for place in ROS_SOURCE.glob(f"*/test/{file}")]
        assert any(f"def {test.partition('[')[0]}(" in text for text in places)
