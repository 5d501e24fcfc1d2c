"""``focus corpus``: what is packed once is not packed again, what is damaged is found, what is wrong is refused."""

from __future__ import annotations

import pytest
from model.training.tiny_cohort import grow, store_tissue

from focus_cli.core import provenance
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.model.corpus import build_corpus, open_corpus, open_training_samples, pack, verify_corpus
from focus_cli.model.corpus.opening import sample_ids


def content(folder) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_the_same_samples_give_the_same_bytes_in_whatever_order_they_come(folders, corpus, tmp_path):
    again = build_corpus(folders[:1], tmp_path / "again")
    build_corpus(folders[:0:-1], again)
    assert content(again) == content(corpus)


def test_a_sample_added_later_packs_only_itself(folders, tmp_path, monkeypatch):
    packed = []
    original = pack._pack
    monkeypatch.setattr(pack, "_pack", lambda *a, **k: packed.append(a[1].info.sample_id) or original(*a, **k))
    out = build_corpus(folders[:2], tmp_path / "corpus")
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    build_corpus(folders, out)
    assert packed == ["S0", "S1", "S2"]
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())
    assert len(list((out / "panels").iterdir())) == 1  # of all three


@pytest.mark.parametrize("where", ["store_raster", "_store_panel"])
def test_a_pack_that_was_killed_goes_on(folders, corpus, tmp_path, monkeypatch, where):
    original, calls = getattr(pack, where), []

    def dies(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(pack, where, dies)
        with pytest.raises(KeyboardInterrupt):
            build_corpus(folders, tmp_path / "corpus")
    there = sample_ids(tmp_path / "corpus")
    assert there and len(there) < 3
    with pytest.raises(BadInputError, match=r"incomplete.*S1"):
        open_corpus(tmp_path / "corpus")  # what is trained on would be fewer samples than were asked for
    build_corpus(folders[:1], tmp_path / "corpus")
    with pytest.raises(BadInputError, match="incomplete"):
        open_corpus(tmp_path / "corpus")
    assert content(build_corpus(folders, tmp_path / "corpus")) == content(corpus)


def test_another_sample_of_the_same_name_is_refused_and_replaces_when_asked(folders, tmp_path):
    out = build_corpus(folders[:2], tmp_path / "corpus")
    other = store_tissue(tmp_path / "other", grow(seed=9), sample_id="S0")
    before = content(out)
    with pytest.raises(OutputExistsError, match="S0") as refused:
        build_corpus([other], out)
    assert "--overwrite" in refused.value.hint and content(out) == before
    build_corpus([other], out, overwrite=True)
    assert open_corpus(out)[0].source["sha256"] == provenance.describe_path(other)["sha256"]
    assert content(out) == content(build_corpus([other, folders[1]], tmp_path / "fresh"))  # the old shards are gone


@pytest.mark.parametrize("damage", ["flip", "missing", "panel"])
def test_damage_is_found_and_mended_by_packing_again(folders, tmp_path, damage, capsys):
    out = build_corpus(folders, tmp_path / "corpus")
    whole = content(out)
    verify_corpus(out)
    victim = next((out / "panels").iterdir()) if damage == "panel" else sorted(out.rglob("*.safetensors"))[0]
    if damage == "missing":
        victim.unlink()
    else:
        spoilt = bytearray(victim.read_bytes())
        spoilt[len(spoilt) // 2] ^= 1
        victim.write_bytes(spoilt)
    with pytest.raises(BadInputError, match="damaged: S"):
        verify_corpus(out)
    assert victim.name in capsys.readouterr().err
    if damage == "panel":
        victim.unlink()
    build_corpus(folders, out, overwrite=True)
    assert content(out) == whole


def test_mistakes_are_refused_before_anything_is_written(folders, tmp_path):
    out = tmp_path / "corpus"
    with pytest.raises(UsageError, match="no sample"):
        build_corpus([], out)
    with pytest.raises(UsageError, match="twice"):
        build_corpus([folders[0], folders[0]], out)
    with pytest.raises(MissingResourceError):
        build_corpus([tmp_path / "nowhere"], out)
    assert not out.exists()
    with pytest.raises(OutputExistsError):
        build_corpus(folders[:1], folders[1])
    for question in (verify_corpus, open_corpus):
        with pytest.raises(MissingResourceError, match="no such corpus"):
            question(out)


def test_a_damaged_description_is_refused(folders, tmp_path):
    out = build_corpus(folders[:1], tmp_path / "corpus")
    entry = out / "samples" / "S0.json"
    for text, word in (("{", "damaged"), ('{"schema_version": 1}', "damaged"), ('{"schema_version": 7}', "7")):
        entry.write_text(text)
        with pytest.raises(BadInputError, match=word):
            open_corpus(out)


def test_training_is_given_folders_and_corpora_alike(folders, corpus):
    mixed = open_training_samples([folders[2], corpus])
    assert [s.info.sample_id for s in mixed] == ["S2", "S0", "S1", "S2"]
    # The model records the same input, wherever the sample came from.
    assert mixed[0].described() == mixed[3].described() == provenance.describe_path(folders[2])
    assert mixed[0].open().content == mixed[3].open().content
