"""What an alias names, what is a way back, and which version challenges."""

from __future__ import annotations

import pytest

from streamer.lifecycle.promotion_rules import challenger_of, goes_back, version_of


@pytest.mark.parametrize(
    ("alias", "version"), [("champion", "v2"), ("edge", "v2-edge"), ("previous", ""), ("v7", "v7")]
)
def test_an_alias_names_a_version_or_the_starter_and_a_version_names_itself(
    alias: str, version: str
) -> None:
    assert version_of({"champion": "v2", "edge": "v2-edge"}, alias) == version


@pytest.mark.parametrize(
    ("version", "back"), [("", True), ("v1", True), ("v1-edge", True), ("v2", False), ("v3", False)]
)
def test_the_previous_version_its_twin_and_the_starter_are_ways_back(
    version: str, back: bool
) -> None:
    assert goes_back(version, {"champion": "v2", "previous": "v1"}) == back


def test_without_a_previous_version_only_the_starter_is_a_way_back() -> None:
    assert [goes_back(version, {"champion": "v2"}) for version in ("", "v3")] == [True, False]


@pytest.mark.parametrize(
    ("alias", "versions", "challenger"),
    [
        ("champion", ("v3", "v3-edge"), "v3"),
        ("edge", ("v3", "v3-edge"), "v3-edge"),
        ("edge", ("v3",), "v3"),
        ("v2", ("v3",), None),
    ],
)
def test_a_challenger_is_of_the_kind_that_judges_and_a_pinned_version_has_none(
    alias: str, versions: tuple[str, ...], challenger: str | None
) -> None:
    aliases = {"champion": "v2", "edge": "v2-edge", "challenger": "v3"}
    assert challenger_of(aliases, alias, versions) == challenger


def test_who_judges_already_challenges_nobody() -> None:
    assert challenger_of({"champion": "v2", "challenger": "v2"}, "champion", ()) is None
    assert challenger_of({"champion": "v2"}, "champion", ()) is None
