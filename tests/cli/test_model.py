"""The registry on the command line, in a folder; every refusal leaves it as it was."""

from __future__ import annotations

import base64
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest

from streamer import artifact
from streamer.connect.storage.files_registry import DirectoryRegistry
from tests.bundles import a_bundle, sha256
from tests.cli.calls import Done, call


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A configuration, and a registry with v1 (champion) to v3 (challenger)."""
    write_config(tmp_path)
    registry = DirectoryRegistry(tmp_path / "registry", create=True)
    for i in (1, 2, 3):
        registry.publish(
            a_bundle(tmp_path / f"b{i}", f"v{i}", seed=i, training={"created_at": f"2026-01-0{i}"})
        )
    registry.move({"champion": "v1", "challenger": "v3"}, why="begin")
    return tmp_path


def write_config(home: Path, **model: Any) -> None:
    model = {"registry": str(home / "registry")} | model
    text = json.dumps(
        {"version": 1, "streams": [{"name": "s", "source": {"kind": "memory"}}], "model": model}
    )
    (home / "config.yaml").write_text(text)


def streamer(home: Path, verb: str, *words: object) -> Done:
    return call("model", verb, "-c", home / "config.yaml", *words)


def told(home: Path, verb: str, *words: object) -> Any:
    done = streamer(home, verb, "--format", "json", *words)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def aliases(home: Path) -> dict[str, str]:
    return dict(DirectoryRegistry(home / "registry").aliases())


def test_versions_are_listed_with_what_they_are(home: Path) -> None:
    head, *rows = (line.split() for line in streamer(home, "list").stdout.splitlines())
    assert head[:3] == ["version", "roles", "sha256"]
    assert [row[:2] for row in rows] == [["v1", "champion"], ["v2", "-"], ["v3", "challenger"]]
    listed = told(home, "list")
    assert listed["schema"] == "streamer.model/1"
    assert listed["aliases"] == {"champion": "v1", "challenger": "v3"}
    assert [row["sha256"] for row in listed["versions"]] == [
        sha256(home / f"b{i}") for i in (1, 2, 3)
    ]


def test_a_damaged_version_does_not_hide_the_others(home: Path) -> None:
    (home / "registry" / "versions" / "v2" / "weights.npz").unlink()
    rows = told(home, "list")["versions"]
    assert [("problem" in row) for row in rows] == [False, True, False]
    assert "weights.npz: cannot be read" in streamer(home, "list").stdout


def test_a_model_is_shown_with_where_it_comes_from(home: Path) -> None:
    shown = told(home, "show", "challenger")
    assert (shown["version"], shown["roles"], shown["parameters"]) == ("v3", ["challenger"], 24)
    assert (shown["parent"], shown["cause"], shown["training"]["rows"]) == (
        "v0",
        "schedule",
        20_000,
    )
    assert "training.span" in streamer(home, "show").stdout


def test_a_foreign_text_cannot_steer_the_terminal(home: Path) -> None:
    bundle = a_bundle(home / "nasty", "v4", training={"cause": "\x1b]0;owned\x07"})
    assert streamer(home, "import", bundle).exit_code == 0
    for verb in (["list"], ["show", "v4"]):
        assert "\x1b" not in streamer(home, *verb).stdout


def test_a_difference_names_facts_weights_and_parts(home: Path) -> None:
    found = told(home, "diff", "v1", "v2")
    assert found["facts"]["training.created_at"] == ["2026-01-01", "2026-01-02"]
    assert found["weights"]["kernel"] > 0.1
    assert "step_f32.tflite" in found["parts_bytes"]
    assert streamer(home, "diff", "v1", "champion").stdout == "the same model\n"


def test_verification_says_which_one_is_not_what_it_was(home: Path) -> None:
    assert streamer(home, "verify").stdout.splitlines() == ["ok    v1", "ok    v2", "ok    v3"]
    (home / "registry" / "versions" / "v2" / "step_f32.tflite").write_bytes(b"x")
    done = streamer(home, "verify")
    assert done.exit_code == 1
    assert "step_f32.tflite: SHA-256 is" in done.stdout
    assert streamer(home, "verify", "v1").exit_code == 0


def test_a_bundle_on_disk_is_verified_without_a_configuration(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert streamer(home, "export", "v2", home / "v2.tar").exit_code == 0
    done = call("model", "verify", home / "b1", home / "v2.tar", "../b3")
    assert done.stdout.splitlines() == [f"ok    {home}/b1", f"ok    {home}/v2.tar", "ok    ../b3"]
    (home / "b1" / "step_f32.tflite").write_bytes(b"x")
    done = call("model", "verify", home / "b1", home / "v2.tar", "nowhere")
    assert done.exit_code == 1
    assert "b1/step_f32.tflite: SHA-256 is" in done.stdout
    assert "cannot read nowhere: No such file or directory" in done.stdout


def test_a_bundle_on_disk_must_fit_its_signature_and_with_a_configuration_its_keys(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "elsewhere").mkdir()
    monkeypatch.chdir(home / "elsewhere")
    assert call("model", "keygen", home / "key.pem").exit_code == 0
    assert streamer(home, "sign", "v1", "--key", home / "key.pem").exit_code == 0
    assert streamer(home, "export", "v1", home / "signed").exit_code == 0
    assert call("model", "verify", home / "signed").exit_code == 0
    write_config(home, keys=[base64.b64encode(bytes(32)).decode()])
    assert "not among model.keys" in streamer(home, "verify", home / "signed").stdout
    manifest = home / "signed" / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    assert "does not fit its manifest" in call("model", "verify", home / "signed").stdout


# -- moving
def test_a_promotion_and_its_undoing_are_in_the_trail(home: Path) -> None:
    assert streamer(home, "promote", "--yes", "--why", "looks fine").stdout == "v3 is champion\n"
    assert aliases(home) == {"champion": "v3", "previous": "v1"}
    assert streamer(home, "rollback", "--yes").stdout == "v1 is champion again\n"
    assert aliases(home) == {"champion": "v1"}
    assert [move["why"] for move in told(home, "list", "--moves")["moves"]] == [
        "begin",
        "looks fine",
        "by hand",
    ]
    assert "champion -> v3" in streamer(home, "list", "--moves").stdout


def test_a_rollback_of_the_first_promotion_is_to_the_starter(home: Path) -> None:
    assert streamer(home, "rollback", "--yes").stdout == "the starter judges again\n"
    assert aliases(home) == {"challenger": "v3"}
    again = streamer(home, "rollback", "--yes")
    assert (again.exit_code, "no previous model" in again.stderr) == (1, True)


def test_a_challenger_is_chosen_and_dismissed(home: Path) -> None:
    streamer(home, "shadow", "v2")
    assert aliases(home)["challenger"] == "v2"
    streamer(home, "shadow", "--off")
    assert "challenger" not in aliases(home)
    assert streamer(home, "shadow").exit_code == 2


@pytest.mark.parametrize("verb", [["promote"], ["rollback"], ["prune", "--keep", "0"]])
def test_what_destroys_asks_and_without_a_terminal_refuses(
    home: Path, verb: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    before = aliases(home), told(home, "list")["versions"]
    done = streamer(home, *verb)
    assert (done.exit_code, "--yes" in done.stderr) == (2, True)
    assert (aliases(home), told(home, "list")["versions"]) == before


def refused_by_the_gate(home: Path) -> str:
    bundle = a_bundle(home / "bad", "v4", seed=4)
    artifact.attach(
        bundle, {"gate.json": json.dumps({"passed": False, "why": "it is a copycat"}).encode()}
    )
    assert streamer(home, "import", bundle).exit_code == 0
    return "v4"


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["promote", "v9", "--yes"], 1, "no version 'v9'; there are: v1, v2, v3"),
        (["promote", "../x", "--yes"], 1, "cannot be a version"),
        (["shadow", "v1"], 1, "would only shadow itself"),
        (["show", "edge"], 1, "the registry's edge is not set"),
        (["export", "v1", "{home}/b1"], 1, "is there already"),
        (["import", "{home}/config.yaml"], 1, "cannot be read as a tar"),
        (["import", "{home}/b9"], 2, "does not exist"),
        (["list", "--set", "model.registry={home}/nowhere"], 3, "there is no such folder"),
        (["list", "--set", "model.registry=null"], 3, "config.yaml: model.registry: is not set"),
        (["verify", "--set", "model.keys=[nobody]"], 3, "config.yaml: model.keys[0]: is neither"),
    ],
)
def test_a_refusal_says_why_and_changes_nothing(
    home: Path, words: list[str], code: int, says: str
) -> None:
    before = aliases(home), told(home, "list")["versions"]
    done = streamer(home, *(word.format(home=home) for word in words))
    assert (done.exit_code, says in done.stderr) == (code, True), done.stderr
    assert (aliases(home), told(home, "list")["versions"]) == before


def test_what_the_gate_refused_is_not_promoted(home: Path) -> None:
    done = streamer(home, "promote", refused_by_the_gate(home), "--yes")
    assert (done.exit_code, "v4 was refused by the gate: it is a copycat" in done.stderr) == (
        4,
        True,
    )
    assert aliases(home) == {"champion": "v1", "challenger": "v3"}


def test_old_versions_go_and_what_an_alias_needs_stays(home: Path) -> None:
    assert told(home, "prune", "--keep", "0", "--yes")["removed"] == ["v2"]
    assert [row["version"] for row in told(home, "list")["versions"]] == ["v1", "v3"]
    assert streamer(home, "prune", "--yes").stdout == "nothing to remove\n"


@pytest.mark.parametrize(
    "words", [["list"], ["promote", "v1", "--yes"], ["prune", "--yes"], ["import", "b1"]]
)
def test_a_redis_that_is_away_is_a_dependency(
    home: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(home)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home / "cache"))
    here = [
        "--set",
        "model.registry=redis",
        "--set",
        "store.kind=redis",
        "--set",
        "store.url=redis://127.0.0.1:1/0",
    ]
    done = streamer(home, *words, *here)
    assert (done.exit_code, "cannot be reached" in done.stderr) == (5, True), done.stderr


# -- carrying
@pytest.mark.parametrize("name", ["out.tar", "out"])
def test_what_is_exported_can_be_imported_elsewhere(home: Path, name: str) -> None:
    assert streamer(home, "export", "champion", home / name).exit_code == 0
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    write_config(elsewhere)
    assert told(elsewhere, "import", home / name)["version"] == "v1"
    found = DirectoryRegistry(elsewhere / "registry")
    assert artifact.load(found.path("v1")).files == artifact.load(home / "b1").files
    assert found.aliases() == {}


def test_the_same_model_gives_the_same_file(home: Path) -> None:
    for name in ("a.tar", "b.tar"):
        streamer(home, "export", "v2", home / name)
    assert (home / "a.tar").read_bytes() == (home / "b.tar").read_bytes()


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_a_tar_with_anything_but_plain_files_is_refused(home: Path, kind: bytes) -> None:
    path = home / "nasty.tar"
    with tarfile.open(path, "w") as tar:
        member = tarfile.TarInfo("manifest.json")
        member.type, member.linkname = kind, "/etc/passwd"
        tar.addfile(member)
    done = streamer(home, "import", path)
    assert (done.exit_code, "is no plain file of a bundle" in done.stderr) == (1, True)


def test_a_name_in_a_tar_leads_nowhere(home: Path) -> None:
    path = home / "up.tar"
    with tarfile.open(path, "w") as tar:
        tar.add(home / "b2" / "manifest.json", "../../../manifest.json")
    assert "cannot be read" in streamer(home, "import", path).stderr
    assert not (home.parent / "manifest.json").exists()


# -- signatures
@pytest.fixture
def key(home: Path) -> str:
    return str(
        json.loads(call("model", "keygen", home / "key.pem", "--format", "json").stdout)["public"]
    )


def test_a_private_key_is_its_owners_and_never_overwritten(home: Path, key: str) -> None:
    assert (home / "key.pem").stat().st_mode & 0o777 == 0o600
    before = (home / "key.pem").read_bytes()
    assert call("model", "keygen", home / "key.pem").exit_code == 1
    assert (home / "key.pem").read_bytes() == before


def test_where_signatures_are_required_only_what_is_signed_moves_or_comes_in(
    home: Path, key: str
) -> None:
    write_config(home, keys=[key], require_signature=True)
    before = aliases(home)
    for words in (
        ["promote", "v2", "--yes"],
        ["shadow", "v2"],
        ["import", home / "b3"],
        ["verify", "v2"],
    ):
        done = streamer(home, *words)
        assert (done.exit_code, "is not signed" in done.stdout + done.stderr) == (1, True)
    assert aliases(home) == before
    assert streamer(home, "sign", "v2", "--key", home / "key.pem").exit_code == 0
    assert told(home, "show", "v2")["signed_by"] == key
    assert streamer(home, "verify", "v2").exit_code == 0
    assert streamer(home, "promote", "v2", "--yes").exit_code == 0
    assert "is signed already" in streamer(home, "sign", "v2", "--key", home / "key.pem").stderr


def test_a_signature_does_not_fit_another_manifest(home: Path, key: str) -> None:
    streamer(home, "sign", "v2", "--key", home / "key.pem")
    place = home / "registry" / "versions" / "v2" / "manifest.json"
    place.write_text(place.read_text().replace('"schedule"', '"drift"'))
    write_config(home, keys=[key])
    done = streamer(home, "verify", "v2")
    assert (done.exit_code, "its signature does not fit its manifest" in done.stdout) == (1, True)


def test_a_key_may_be_named_by_its_file(home: Path, key: str) -> None:
    from cryptography.hazmat.primitives import serialization

    private = serialization.load_pem_private_key((home / "key.pem").read_bytes(), None)
    form = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (home / "public.pem").write_bytes(private.public_key().public_bytes(*form))
    streamer(home, "sign", "v2", "--key", home / "key.pem")
    write_config(home, keys=[str(home / "public.pem")], require_signature=True)
    assert streamer(home, "verify", "v2").exit_code == 0


@pytest.mark.parametrize(
    "text", ["", "{}", '{"format": "streamer.signature/2"}', '{"format": [1]}', "[1]"]
)
def test_a_signature_that_is_none_is_refused(home: Path, key: str, text: str) -> None:
    (home / "registry" / "versions" / "v2" / "signature.json").write_text(text)
    write_config(home, keys=[key])
    done = streamer(home, "verify", "v2")
    assert (done.exit_code, "signature" in done.stdout) == (1, True)
    assert streamer(home, "list").exit_code == 0
