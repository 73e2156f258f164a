"""A small network of each family of timm, at the smallest images that it takes."""

from functools import partial

from _network_list import N_OUTPUTS, Case

SIDE = 64
# Those of SIZED are told how large images are. Those of NARROW are made narrow: their
# families have large networks only. nasnet and pnasnet, which cannot be, are left out.
PLAIN = [
    "caformer_s18",
    "convmixer_1024_20_ks9_p14",
    "convnext_atto",
    "convnextv2_atto",
    "cpubone_nano",
    "crossvit_tiny_240",
    "cs3darknet_focus_s",
    "csatv2",
    "cspnext_tiny",
    "davit_tiny",
    "densenet121",
    "dla46x_c",
    "dm_nfnet_f0",
    "dpn48b",
    "edgenext_xx_small",
    "efficientformer_l1",
    "efficientvim_m1",
    "efficientvit_b0",
    "efficientvit_m0",
    "ese_vovnet19b_slim_dw",
    "fasternet_t0",
    "fastvit_t8",
    "focalnet_tiny_srf",
    "gcresnext26ts",
    "ghostnet_050",
    "ghostnetv2_100",
    "halonet26t",
    "hgnetv2_b0",
    "hrnet_w18_small",
    "iformer_t",
    "inception_next_atto",
    "inception_resnet_v2",
    "lambda_resnet26t",
    "lcnet_050",
    "lcnetv2_small",
    "lowformer_b0",
    "mixnet_s",
    "mnasnet_050",
    "mobilenetv4_conv_small_050",
    "mobilenetv5_base",
    "mobileone_s0",
    "mobilevit_xxs",
    "mobilevitv2_050",
    "mvitv2_tiny",
    "nextvit_small",
    "nf_resnet26",
    "poolformerv2_s12",
    "pvt_v2_b0",
    "rdnet_tiny",
    "regnetx_002",
    "regnety_002",
    "repghostnet_050",
    "repvit_m0_9",
    "res2net50_14w_8s",
    "resnest14d",
    "resnet26t",
    "resnetv2_18",
    "resnetv2_50x1_bit",
    "rexnet_100",
    "sam2_hiera_tiny",
    "selecsls42",
    "sequencer2d_s",
    "shvit_s1",
    "skresnet18",
    "starnet_s050",
    "swiftformer_xs",
    "test_byobnet",
    "test_mambaout",
    "test_nfnet",
    "test_resnet",
    "tf_efficientnet_lite0",
    "tiny_vit_5m_224",
    "tinynet_e",
    "tresnet_m",
    "twins_svt_small",
    "vgg11",
    "xception41p",
    "xcit_nano_12_p8_224",
]
SIZED = [
    "botnet26t_256",
    "cait_xxs24_224",
    "coat_tiny",
    "convit_tiny",
    "deit_tiny_patch16_224",
    "efficientformerv2_s0",
    "eva02_tiny_patch14_224",
    "gcvit_xxtiny",
    "hiera_tiny_224",
    "levit_128s",
    "coatnet_pico_rw_224",
    "maxvit_pico_rw_256",
    "gmlp_ti16_224",
    "mixer_s32_224",
    "resmlp_12_224",
    "nest_tiny",
    "pit_ti_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_224",
    "tnt_s_patch16_224",
    "visformer_tiny",
    "vit_tiny_patch16_224",
    "vit_tiny_r_s16_p8_224",
    "test_vit_relpos",
    "vit_relpos_small_patch16_224",
    "vitamin_small_224",
    "volo_d1_224",
]
NARROW = [
    "deepseek_vit_412m",
    "gemma4_vit_167m",
    "naflexvit_base_patch16_siglip",
    "qwen3_vit_88m",
    "samvit_base_patch16",
]
NARROW_SIZED = [
    "beit_base_patch16_224",
    "vit_base_patch16_clip_quickgelu_224",
    "aimv2_large_patch14_224",
]
OTHER_SIDES = {
    "inception_resnet_v2": 96,
    "efficientformer_l1": 224,
    "halonet26t": 256,
    "deepseek_vit_412m": 224,
}
SMALL = {"depth": 2, "embed_dim": 64, "num_heads": 4}


def of_timm(name, **options):
    """Return a network of timm with random weights."""
    import timm

    return timm.create_model(name, pretrained=False, num_classes=N_OUTPUTS, **options)


CASES = {}
for name in PLAIN + SIZED + NARROW + NARROW_SIZED:
    side = OTHER_SIDES.get(name, SIDE)
    options = {}
    if name in SIZED + NARROW_SIZED:
        options["img_size"] = side
    if name in NARROW + NARROW_SIZED:
        options |= SMALL
    CASES[name] = Case("timm", partial(of_timm, name, **options), (3, side, side))
