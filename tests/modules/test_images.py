import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn
from torchvision import models

from skjointprune.modules import resnet18, vgg16

BOTH = pytest.mark.parametrize("make", [vgg16, resnet18])
SMALL, LARGE = (3, 32, 32), (3, 64, 64)


def assert_is_the_same_network(ours, theirs, rows):
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for name, values in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], values), name
    with torch.inference_mode():
        torch.testing.assert_close(ours.eval()(rows), theirs.eval()(rows))


def test_vgg16_at_full_width_is_torchvisions():
    torch.manual_seed(0)
    theirs = models.vgg16_bn(num_classes=5)
    torch.manual_seed(0)
    ours = vgg16(5, (3, 224, 224))
    assert_is_the_same_network(ours, theirs, torch.randn(1, 3, 224, 224))


def test_resnet18_at_full_width_is_torchvisions():
    torch.manual_seed(0)
    theirs = models.resnet18(num_classes=5)
    torch.manual_seed(0)
    ours = resnet18(5, (3, 224, 224))
    assert_is_the_same_network(ours, theirs, torch.randn(1, 3, 224, 224))


def test_a_state_dict_of_torchvisions_gives_its_outputs():
    theirs = models.resnet18(num_classes=5)
    for layer in theirs.modules():  # statistics and scales as after training
        if isinstance(layer, nn.BatchNorm2d):
            for values in (layer.weight, layer.bias, layer.running_mean):
                nn.init.normal_(values)
    ours = resnet18(5, LARGE, weights=theirs.state_dict())
    assert_is_the_same_network(ours, theirs, torch.randn(2, *LARGE))


@BOTH
@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("side", [63, 64])
def test_outputs_and_channels_are_as_asked_for(make, channels, side):
    net = make(7, (channels, side, side + 1), width=0.05)
    assert net(torch.randn(2, channels, side, side + 1)).shape == (2, 7)


@BOTH
def test_width_multiplies_all_hidden_units(make):
    half, full = make(7, SMALL, width=0.5), make(7, SMALL)
    pairs = zip(half.modules(), full.modules(), strict=True)
    for ours, whole in pairs:
        if isinstance(ours, nn.Conv2d):
            assert 2 * ours.out_channels == whole.out_channels


def test_width_multiplies_the_units_of_the_large_head():
    head = vgg16(7, LARGE, width=0.01).classifier
    shapes = [tuple(m.weight.shape) for m in head if isinstance(m, nn.Linear)]
    assert shapes == [(41, 5 * 49), (41, 41), (7, 41)]


@BOTH
def test_the_least_width_leaves_one_unit_a_layer(make):
    convolutions = [
        m for m in make(2, SMALL, width=1e-9).modules() if isinstance(m, nn.Conv2d)
    ]
    assert {m.out_channels for m in convolutions} == {1}


@BOTH
@pytest.mark.parametrize("shape", [SMALL, LARGE])
@pytest.mark.parametrize("cropped", [(1, 1), (1, 9), (17, 2), (31, 33), (75, 50)])
def test_an_image_of_any_size_runs(make, shape, cropped):
    net = make(2, shape, width=0.05).eval()
    assert net(torch.randn(2, 3, *cropped)).isfinite().all()


@pytest.mark.parametrize("shape", [(3, 63, 200), (3, 200, 63)])
def test_the_shorter_side_decides_what_is_small(shape):
    assert isinstance(resnet18(2, shape, width=0.05).maxpool, nn.Identity)
    assert len(vgg16(2, shape, width=0.05).classifier) == 2


def test_the_stem_for_small_images_keeps_all_places():
    net = resnet18(2, SMALL, width=0.05)
    seen = net.maxpool(net.conv1(torch.randn(1, *SMALL)))
    assert seen.shape[2:] == SMALL[1:]


@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_dropout_reaches_all_of_the_head(shape):
    for p in (0.3, 0):
        drops = [
            m.p
            for m in vgg16(2, shape, width=0.05, dropout=p).modules()
            if isinstance(m, nn.Dropout)
        ]
        assert set(drops) == {p}


@BOTH
@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_a_trace_a_pickle_and_a_copy_do_the_same(make, shape):
    net = make(2, shape, width=0.05).eval()
    rows = torch.randn(2, *shape)
    expected = net(rows)
    assert torch.equal(torch.fx.symbolic_trace(net)(rows), expected)
    assert torch.equal(pickle.loads(pickle.dumps(net))(rows), expected)
    assert torch.equal(deepcopy(net)(rows), expected)


@BOTH
@pytest.mark.parametrize("kind", ["state dict", "path", "name of a path"])
def test_weights_are_copied_from(make, kind, tmp_path):
    given = make(3, SMALL, width=0.05).state_dict()
    path = tmp_path / "weights.pt"
    torch.save(given, path)
    weights = {"state dict": given, "path": path, "name of a path": str(path)}[kind]
    net = make(3, SMALL, width=0.05, weights=weights)
    for name, values in net.state_dict().items():
        assert torch.equal(values, given[name])
        assert values.data_ptr() != given[name].data_ptr()


@BOTH
@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_a_head_that_is_left_out_keeps_its_initial_values(make, shape):
    given = make(3, shape, width=0.05).state_dict()
    head = list(given)[-2:]
    body = {name: given[name] for name in given if name not in head}
    torch.manual_seed(1)
    fresh = make(5, shape, width=0.05).state_dict()
    torch.manual_seed(1)
    net = make(5, shape, width=0.05, weights=body)
    for name, values in net.state_dict().items():
        assert torch.equal(values, fresh[name] if name in head else body[name])


def test_features_of_the_large_vgg16_start_the_small_one():
    large = vgg16(3, LARGE, width=0.05).state_dict()
    features = {n: v for n, v in large.items() if not n.startswith("classifier")}
    net = vgg16(5, SMALL, width=0.05, weights=features)
    assert torch.equal(net.features[0].weight, large["features.0.weight"])


@BOTH
def test_weights_from_before_batches_were_counted_fit(make):
    given = make(3, SMALL, width=0.05).state_dict()
    old = {n: v for n, v in given.items() if not n.endswith("num_batches_tracked")}
    net = make(3, SMALL, width=0.05, weights=old)
    assert all(torch.equal(net.state_dict()[name], old[name]) for name in old)


def test_weights_with_other_outputs_are_refused_at_the_head():
    given = resnet18(4, SMALL, width=0.05).state_dict()
    says = (
        r"`weights` does not fit at 'fc\.weight': it has shape \(4, 26\) and the "
        r"network needs \(3, 26\)\. Leave the head 'fc' out .* with 3 outputs\."
    )
    with pytest.raises(ValueError, match=says):
        resnet18(3, SMALL, width=0.05, weights=given)


def test_weights_of_another_width_are_refused_at_the_first_layer():
    given = vgg16(3, SMALL, width=0.1).state_dict()
    says = r"'features\.0\.weight'.*\(6, 3, 3, 3\).*\(3, 3, 3, 3\).*same.*`width`"
    with pytest.raises(ValueError, match=says):
        vgg16(3, SMALL, width=0.05, weights=given)


def test_weights_without_a_hidden_layer_are_refused():
    given = resnet18(3, SMALL, width=0.05).state_dict()
    del given["layer1.0.conv2.weight"]
    with pytest.raises(ValueError, match=r"at 'layer1\.0\.conv2\.weight': it has no"):
        resnet18(3, SMALL, width=0.05, weights=given)


def test_weights_under_other_names_are_shown_the_first_of_each():
    given = resnet18(3, SMALL, width=0.05).state_dict()
    wrapped = {f"module.{name}": values for name, values in given.items()}
    says = r"at 'conv1\.weight'.* begins with 'module\.conv1\.weight'"
    with pytest.raises(ValueError, match=says):
        resnet18(3, SMALL, width=0.05, weights=wrapped)


def test_weights_with_a_layer_too_many_are_refused():
    given = resnet18(3, SMALL, width=0.05).state_dict() | {"aux.bias": torch.zeros(1)}
    with pytest.raises(ValueError, match=r"at 'aux\.bias': the network has no tensor"):
        resnet18(3, SMALL, width=0.05, weights=given)


@pytest.mark.parametrize(
    ("weights", "says"),
    [
        (nn.Linear(1, 1), "Got Linear; pass what module.state_dict"),
        ({"epoch": 3}, "Got an entry 'epoch' that is no tensor"),
        ({}, "'conv1.weight': it has no tensor of this name, and it is empty"),
    ],
)
def test_what_is_no_state_dict_is_refused(weights, says):
    with pytest.raises(ValueError, match=says):
        resnet18(3, SMALL, width=0.05, weights=weights)


@pytest.mark.parametrize(
    ("write", "says"),
    [
        (lambda path: path.write_text("no tensors"), "does not load as tensors alone"),
        (lambda path: path.write_bytes(b""), "does not load as tensors alone"),
        (lambda path: torch.save(nn.Linear(1, 1), path), "does not load as tensors"),
        (lambda path: torch.save(torch.ones(2), path), "Got Tensor"),
        (lambda path: torch.save({"epoch": 3}, path), "Got an entry 'epoch'"),
    ],
)
def test_a_file_of_no_state_dict_is_refused_by_its_path(write, says, tmp_path):
    path = tmp_path / "weights.pt"
    write(path)
    with pytest.raises(ValueError, match=rf"weights\.pt'\. .*{says}"):
        resnet18(3, SMALL, width=0.05, weights=path)


def test_a_file_that_is_missing_is_said_to_be(tmp_path):
    with pytest.raises(FileNotFoundError):
        resnet18(3, SMALL, width=0.05, weights=tmp_path / "none.pt")


@BOTH
@pytest.mark.parametrize("shape", [(32, 32), (3, 32, 0), (3, 32.0, 32), 32, None])
def test_a_shape_that_is_no_images_is_refused(make, shape):
    with pytest.raises(ValueError, match=r"`input_shape`.*give \(channels, height"):
        make(3, shape)


@BOTH
@pytest.mark.parametrize("width", [0, -1.0, float("nan"), float("inf")])
def test_a_width_out_of_range_is_refused(make, width):
    with pytest.raises(ValueError, match=f"`width`.*Got {width}"):
        make(3, SMALL, width=width)


@pytest.mark.parametrize("dropout", [-0.1, 1.0])
def test_a_dropout_out_of_range_is_refused(dropout):
    with pytest.raises(ValueError, match=f"`dropout`.*Got {dropout}"):
        vgg16(3, SMALL, dropout=dropout)
