"""The vision transformer: shapes, what it must not depend on, and positions of other sizes."""

import pytest
import torch
from pydantic import ValidationError

from focus_cli.histology.encoders.vit import ViT, attend, sincos_positions
from focus_cli.histology.encoders.vit_config import VIT_PRESETS, ViTConfig

MICRO = ViTConfig(patch_px=8, width=32, layers=2, heads=2, grid=4)


def net(**changes):
    torch.manual_seed(0)
    return ViT(MICRO.model_copy(update=changes)).eval()


@pytest.mark.parametrize(("preset", "millions"), [("tiny", 5.5), ("small", 21.7), ("base", 85.8)])
def test_presets_have_their_size(preset, millions):
    with torch.device("meta"):
        n = sum(p.numel() for p in ViT(VIT_PRESETS[preset]).parameters())
    assert n / 1e6 == pytest.approx(millions, rel=0.02)


@pytest.mark.parametrize("positions", ["sincos", "learned"])
@pytest.mark.parametrize("registers", [0, 3])
def test_any_size_that_divides_gives_one_token_a_patch(positions, registers):
    model = net(positions=positions, registers=registers)
    for height, width in ((32, 32), (16, 48), (8, 8)):
        tokens = model(torch.randn(2, 3, height, width))
        assert tokens.cls.shape == (2, 32)
        assert tokens.grid == (height // 8, width // 8)
        assert tokens.patches.shape == (2, height * width // 64, 32)
    with pytest.raises(ValueError, match="do not divide"):
        model(torch.randn(1, 3, 30, 32))


def test_an_image_does_not_depend_on_its_batch():
    model, images = net(registers=2), torch.randn(5, 3, 32, 32)
    together = model(images)
    alone = model(images[3:4])
    torch.testing.assert_close(together.cls[3:4], alone.cls, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.patches[3:4], alone.patches, rtol=1e-4, atol=1e-5)


def test_what_a_mask_hides_cannot_be_seen():
    model, images = net(), torch.randn(1, 3, 32, 32)
    mask = torch.zeros(1, 16, dtype=torch.bool)
    mask[0, 5] = True  # row 1, column 1
    changed = images.clone()
    changed[..., 8:16, 8:16] += 3
    torch.testing.assert_close(model(images, mask).patches, model(changed, mask).patches)
    assert not torch.allclose(model(images).patches, model(changed).patches)
    assert not torch.allclose(model(images).patches, model(images, mask).patches)


def test_positions_tell_places_apart():
    model = net()
    with torch.no_grad():
        white = model(torch.ones(1, 3, 32, 32)).patches[0]
    assert torch.pdist(white).min() > 1e-3


def test_positions_of_another_size_span_the_same_square():
    nominal = sincos_positions((7, 7), 7, 64).view(7, 7, 64)
    # Three patches over seven: the middle one lies where the middle one of seven lies.
    torch.testing.assert_close(sincos_positions((3, 3), 7, 64).view(3, 3, 64)[1, 1], nominal[3, 3])
    # A finer grid averages to nearly the nominal one, nearer than to its neighbours.
    fine = sincos_positions((14, 14), 7, 64).view(7, 2, 7, 2, 64).mean(dim=(1, 3)).reshape(49, 64)
    nearest = torch.cdist(fine, nominal.reshape(49, 64)).argmin(dim=1)
    assert torch.equal(nearest, torch.arange(49))


def test_learned_positions_interpolate_a_ramp():
    model = net(positions="learned")
    with torch.no_grad():
        model.position[:] = torch.arange(4.0)[:, None].expand(4, 4)
    codes = model.positions((8, 8)).detach().view(8, 8, 32)[:, 0, 0]
    assert (codes.diff() > 0).all()
    assert codes.mean() == pytest.approx(1.5, abs=1e-4)
    torch.testing.assert_close(model.positions((4, 4)), model.position.flatten(2).transpose(1, 2))


def test_few_tokens_take_a_shortcut_to_the_same_attention():
    torch.manual_seed(1)
    q, k, v = (torch.randn(2, 3, 9, 16, requires_grad=True) for _ in range(3))
    fused = torch.nn.functional.scaled_dot_product_attention(q, k, v)
    torch.testing.assert_close(attend(q, k, v), fused)


def test_gradient_checkpointing_changes_no_gradient():
    images, gradients = torch.randn(2, 3, 32, 32), []
    for on in (False, True):
        model = net().train()
        model.gradient_checkpointing = on
        model(images).cls.square().sum().backward()
        gradients.append(model.blocks[0].qkv.weight.grad)
    torch.testing.assert_close(*gradients)


def test_stochastic_depth_is_off_outside_training_and_keeps_the_mean():
    images = torch.randn(1, 3, 32, 32)
    model = net(drop_path=0.5)
    torch.testing.assert_close(model(images).cls, net()(images).cls)
    branch = torch.ones(20_000, 1, 1)
    block = model.train().blocks[-1]
    assert block._dropped(branch).mean() == pytest.approx(1, abs=0.03)


def test_sizes_that_cannot_be_are_refused():
    with pytest.raises(ValidationError, match="multiple"):
        ViTConfig(width=30, heads=4)
