"""``focus pretrain`` from the command line."""

from click.testing import CliRunner

from focus_cli.cli.pretrain import command
from focus_cli.histology.encoders.folder import read_encoder


def test_the_command_makes_an_encoder(micro, slides, config_file, tmp_path):
    out = tmp_path / "encoder"
    words = [*map(str, slides), "--out", str(out), "--config", str(config_file), "--max-steps", "2", "--device", "cpu"]
    result = CliRunner().invoke(command, [*words, "--mpp", "a.tif=1.1"], catch_exceptions=False)
    assert result.exit_code == 0
    net, described = read_encoder(out)
    assert net.config == micro and described.training["steps"] == 2
    assert "class token" in (out / "card.md").read_text()


def test_help_names_the_ways_to_use_it():
    text = CliRunner().invoke(command, ["--help"]).output
    for word in ("--resume", "--init", "--mpp", "torchrun", "b.jpg=0.69"):
        assert word in text
