"""Parts of estimates: they sum to the estimate, are right where the answer is known, and die with random weights."""

from __future__ import annotations

from dataclasses import replace

import anndata as ad
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from enhancement.attribution.conftest import changed, network_alone
from enhancement.enhancing import arrays
from scipy.stats import spearmanr

from focus_cli.cli.main import cli
from focus_cli.core.errors import BadInputError, OutputExistsError, UsageError
from focus_cli.enhancement.attribution.estimate import Estimate
from focus_cli.enhancement.attribution.game import PARTS, SIGNALS, Coalition
from focus_cli.enhancement.attribution.stage import WhyOptions, explain, why
from focus_cli.enhancement.section import Section
from focus_cli.model.conditioning.sample import without_image


def test_parts_sum_to_the_estimate(explained):
    np.testing.assert_allclose(sum(explained.parts[name] for name in PARTS), explained.whole, atol=1e-12)
    estimate, names = explained.estimate, list(explained.estimate.run.genes.names)
    everything = estimate.values(np.arange(len(explained.whole)))[-1]
    order = [names.index(gene) for gene in explained.genes.index]
    np.testing.assert_allclose(everything[:, order], explained.whole, atol=1e-12)


def test_the_whole_is_what_the_enhanced_file_says(explained, enhanced_study):
    enhanced = ad.read_h5ad(enhanced_study.enhanced["S1"])[:, explained.genes.index]
    share = enhanced.layers["mean_counts"] / enhanced.obs["exposure"].to_numpy()[:, None]
    said = np.log2(share * 1e4) - explained.genes["level"].to_numpy()
    np.testing.assert_allclose(explained.whole, said, atol=2e-3)  # the file keeps 11 significant bits


def test_a_signal_that_is_away_is_really_away(explained):
    """Values of incomplete sets are those of the network shown a sample without that signal."""
    estimate = explained.estimate
    section: Section = estimate.plain
    data = section.data

    def latent(section, counts):
        view = section.view(counts)
        return section.infer(view, data.xy_um, "checking", footprint=section.area, n_spread=0).mean

    empty = 0 * data.counts
    blind = replace(section, data=replace(without_image(data, data.n_features)))
    unread = replace(section, states=section.states[:0])
    cases = {
        Coalition(): latent(section, data.counts),
        Coalition(own=0, neighbours=0): latent(section, empty),
        Coalition(reference=0): latent(unread, data.counts),
        Coalition(own=0, neighbours=0, reference=0): latent(unread, empty),
    }
    rows = np.arange(len(data.xy_um))
    for coalition, expected in cases.items():
        found = estimate._network(estimate.surroundings.around(rows), coalition).numpy()
        np.testing.assert_allclose(found, expected, atol=2e-5)
    # Without its raster a spot is asked at its centre alone: what is left is the network without an image there.
    found = estimate._network(estimate.surroundings.around(rows), Coalition(image=0)).numpy()
    view = blind.view(data.counts)
    expected = blind.infer(view, data.xy_um, "checking", footprint=section.area, n_spread=0).mean
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_a_location_without_its_molecules_is_told_by_its_neighbours(explained):
    """Own molecules away at one location is that location emptied, as far as its own estimate goes."""
    estimate, row = explained.estimate, 40
    section, data = estimate.plain, estimate.plain.data
    counts = data.counts.copy().tolil()
    counts[row] = 0
    view = section.view(counts.tocsr())
    expected = section.infer(view, data.xy_um, "checking", footprint=section.area, n_spread=0).mean[row]
    found = estimate._network(estimate.surroundings.around(np.array([row])), Coalition(own=0)).numpy()[0]
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_details_sum_to_the_value_of_their_location(explained, opened):
    details = explained.details
    assert details.error < 1e-3
    table = details.table.groupby(["gene", "location"])
    locations = explained.estimate.data.obs_names.tolist()
    for p, pair in enumerate(details.pairs):
        mine = table.get_group((pair["gene"], pair["location"]))
        row, gene = locations.index(pair["location"]), explained.genes.index.get_loc(pair["gene"])
        for name in PARTS:
            told = mine.loc[mine["signal"] == name, "contribution"].sum()
            assert told == pytest.approx(explained.parts[name][row, gene], abs=1e-9)
        around = details.neighbours[f"pair_{p}"].to_numpy()
        assert around[row] == 0
        assert around.sum() == pytest.approx(explained.parts["neighbours"][row, gene], abs=1e-5)
    assert len(details.pairs) == len(opened.genes) * len(opened.locations)


def test_more_molecules_of_a_gene_than_expected_speak_for_it(explained, opened):
    from focus_cli.enhancement.attribution.details import Within

    estimate = explained.estimate
    gene = explained.genes.index[0]
    at, column = list(estimate.run.genes.names).index(gene), list(estimate.data.names).index(gene)
    counts, share = estimate.data.counts[:, column].toarray()[:, 0], estimate.panel_share[column]
    rows = np.arange(0, len(counts), 10)
    place = explained.genes.index.get_loc(gene)
    told = []
    for row in rows:
        signals = {name: float(explained.parts[name][row, place]) for name in SIGNALS}
        told.append(Within(estimate, row).parts(at, signals).named["own"][f"gene {gene}"])
    excess = counts[rows] - estimate.data.exposure[rows] * share
    assert spearmanr(told, excess).statistic > 0.6


def test_an_estimate_that_is_made_of_the_image_is_said_to_come_from_the_image(opened):
    def image_alone(net):
        net.log_field_variance.fill_(-60.0)  # neighbours and own counts bind nothing
        net.out[-1].weight.zero_(), net.out[-1].bias.zero_()

    parts = network_alone(opened, changed(opened.model, image_alone))
    measured = parts.pop("measured")
    whole = sum(parts.values())
    np.testing.assert_allclose(parts["image"][:, measured], whole[:, measured], atol=1e-5)
    assert np.abs(whole).max() > 0.1


def test_an_estimate_that_is_made_of_counts_is_said_to_come_from_them(opened):
    def counts_alone(net):
        for layer in (net.image_linear, net.image_mlp[-1], net.out[-1]):
            layer.weight.zero_(), layer.bias.zero_()

    parts = network_alone(opened, changed(opened.model, counts_alone))
    measured = parts.pop("measured")
    whole = sum(parts.values())[:, measured]
    np.testing.assert_allclose((parts["own"] + parts["neighbours"])[:, measured], whole, atol=1e-5)
    assert np.abs(parts["own"]).mean() > 0.01 and np.abs(parts["neighbours"]).mean() > 0.01


def test_an_estimate_that_is_made_of_cell_states_is_said_to_come_from_the_reference(opened):
    def states_alone(net):
        net.log_field_variance.fill_(-60.0)
        for layer in (net.image_linear, net.image_mlp[-1]):
            layer.weight.zero_(), layer.bias.zero_()
        net.join.weight.zero_()

    parts = network_alone(opened, changed(opened.model, states_alone))
    measured = parts.pop("measured")
    rest = sum(parts.values()) - parts["prior"]
    np.testing.assert_allclose(parts["reference"][:, measured], rest[:, measured], atol=1e-5)
    assert np.abs(parts["reference"][:, measured]).mean() > 1e-3


def test_random_weights_destroy_the_parts(opened):
    """Adebayo et al. 2018, arXiv:1810.03292: a picture that random weights leave as it was shows no model."""

    def shuffle(net):
        generator = torch.Generator().manual_seed(0)
        for weights in net.parameters():
            order = torch.randperm(weights.numel(), generator=generator)
            weights.copy_(weights.flatten()[order].view(weights.shape))

    other = changed(opened.model, shuffle)
    vectors = other.prior.loadings[np.random.default_rng(0).permutation(len(other.prior.loadings))]
    random = network_alone(opened, replace(other, prior=replace(other.prior, loadings=vectors)))
    real = network_alone(opened, opened.model)
    again = network_alone(opened, opened.model)
    for name in SIGNALS:
        alike = _rank_correlation(real[name], random[name])
        assert abs(alike) < 0.25, f"{name}: {alike:.2f}"
        assert _rank_correlation(real[name], again[name]) > 0.999


def _rank_correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over genes of Spearman's correlation over locations."""
    varies = [g for g in range(first.shape[1]) if min(first[:, g].std(), second[:, g].std()) > 1e-7]
    return float(np.mean([spearmanr(first[:, g], second[:, g]).statistic for g in varies]))


def test_neither_order_nor_company_of_genes_matters(explained, opened):
    few = opened.genes[::-3]
    other = explain(opened.stored, opened.model, opened.reference, WhyOptions(genes=few, device="cpu"))
    assert other.genes.index.tolist() == list(few)
    for name in PARTS:
        columns = [explained.genes.index.get_loc(gene) for gene in few]
        np.testing.assert_allclose(other.parts[name], explained.parts[name][:, columns], atol=1e-5)


def test_locations_may_be_asked_in_pieces(explained, monkeypatch):
    monkeypatch.setattr("focus_cli.enhancement.attribution.estimate.POINTS", 100)
    rows = np.arange(len(explained.whole))
    again = Estimate(explained.estimate.run).values(rows)
    np.testing.assert_allclose(again, explained.estimate.values(rows), atol=2e-5)


class _Turned:
    """A stored sample without its image, turned around."""

    def __init__(self, stored, angle: float) -> None:
        self.info, self.path, self.raster_paths = stored.info, stored.path, []
        self._read, self.angle = stored.read, angle

    def read(self):
        adata = self._read()
        cos, sin = np.cos(self.angle), np.sin(self.angle)
        adata.obsm["spatial_um"] = adata.obsm["spatial_um"] @ np.array([[cos, sin], [-sin, cos]])
        return adata


def test_turning_the_section_turns_nothing_else(opened):
    options = WhyOptions(genes=opened.genes, device="cpu")
    plain, turned = (
        explain(_Turned(opened.stored, angle), opened.model, opened.reference, options) for angle in (0.0, 0.6)
    )
    assert np.abs(plain.parts["image"]).max() == 0  # there is none
    # Coarse neighbourhoods are cells of a grid, which does not turn with the section: a little is left.
    for name in ("own", "neighbours", "reference"):
        assert np.abs(turned.parts[name] - plain.parts[name]).mean() < 0.1 * np.abs(plain.parts[name]).mean() + 1e-6


def test_the_command_writes_an_answer_that_scanpy_reads(enhanced_study, opened, tmp_path):
    options = ["--model", enhanced_study.model, "--reference", enhanced_study.reference, "--device", "cpu"]
    options += ["--gene", opened.genes[0], "--gene", opened.genes[-1], "--location", opened.locations[0]]
    runner = CliRunner()
    for name in ("a", "b"):
        files = ["--out", tmp_path / f"{name}.h5ad", "--picture", tmp_path / f"{name}.png"]
        words = ["why", enhanced_study.samples["S1"], *options, *files]
        done = runner.invoke(cli, [str(word) for word in words], catch_exceptions=False)
        assert done.exit_code == 0, done.output
    assert arrays(tmp_path / "a.h5ad") == arrays(tmp_path / "b.h5ad")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    answer = ad.read_h5ad(tmp_path / "a.h5ad")
    assert answer.uns["focus"]["kind"] == "why" and answer.var_names.tolist() == [opened.genes[0], opened.genes[-1]]
    np.testing.assert_allclose(sum(answer.layers[name] for name in PARTS), answer.X, atol=1e-12)
    assert answer.var["measured"].tolist() == [True, False]
    assert answer.var["vector"].tolist() == ["training samples", "reference"]
    assert set(answer.uns["focus_why"].columns) == {"gene", "location", "signal", "part", "contribution"}


def test_from_the_image_alone_nothing_comes_from_counts(opened):
    options = WhyOptions(genes=opened.genes, histology_only=True, device="cpu")
    found = explain(opened.stored, opened.model, opened.reference, options)
    assert np.abs(found.parts["own"]).max() == 0 and np.abs(found.parts["neighbours"]).max() == 0
    assert np.abs(found.parts["image"]).max() > 0.05


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"genes": ()}, UsageError, "no gene is requested"),
        ({"genes": ("NOSUCH",)}, UsageError, "1 of 1 genes are unknown: NOSUCH"),
        ({"locations": ("nowhere",)}, BadInputError, "1 of 1 locations are not in S1: nowhere"),
    ],
)
def test_what_cannot_be_asked_ends_in_one_line(opened, enhanced_study, tmp_path, options, kind, words):
    asked = WhyOptions(**{"genes": opened.genes[:1], "device": "cpu"} | options)
    with pytest.raises(kind) as refused:
        why(enhanced_study.samples["S1"], tmp_path / "a.h5ad", model=enhanced_study.model, options=asked)
    assert words in refused.value.message and refused.value.hint
    assert not list(tmp_path.iterdir())


def test_outputs_are_looked_at_first(enhanced_study, tmp_path):
    sample, model = enhanced_study.samples["S1"], enhanced_study.model
    with pytest.raises(UsageError, match=r"must end in \.h5ad"):
        why(sample, tmp_path / "a.txt", model=model)
    with pytest.raises(UsageError, match=r"must end in \.png"):
        why(sample, tmp_path / "a.h5ad", picture=tmp_path / "a.jpg", model=model)
    (tmp_path / "a.h5ad").touch()
    with pytest.raises(OutputExistsError):
        why(sample, tmp_path / "a.h5ad", model=model)


def test_markers_that_no_panel_holds_come_from_the_cells_that_they_mark(opened, enhanced_study):
    """The vector of an unmeasured gene is a sum over cells: those of its own type have the largest part in it."""
    truth = ad.read_h5ad(enhanced_study.study.truth("S1")).var
    marker = truth.index[~truth["measured"] & truth["program"].str.startswith("marker")].to_numpy(str)
    options = WhyOptions(genes=tuple(marker), locations=opened.locations, device="cpu")
    found = explain(opened.stored, opened.model, opened.reference, options)
    assert found.details.error < 1e-3
    table = found.details.table
    table = table[table["part"].str.startswith("the gene's vector: ")]
    table = table.assign(type=table["part"].str.removeprefix("the gene's vector: "))
    size = table.assign(size=table["contribution"].abs()).groupby(["gene", "type"])["size"].sum().unstack()
    rank = [
        size.loc[gene].rank(ascending=False)[truth.loc[gene, "program"].removeprefix("marker: ")] for gene in marker
    ]
    assert len(rank) >= 8 and size.shape[1] == 8
    assert np.mean(np.array(rank) == 1) > 0.5 and np.mean(rank) < 2.5  # by chance 1 of 8, and 4.5
