"""The models every claim is made on: both EfficientFormers, ours and timm's, and one model of
each other family."""

FAMILIES = (
    "efficientformer_l1",
    "efficientformerv2_s0",
    "timm:deit_small_patch16_224",
    "timm:poolformer_s24",
    "timm:levit_256",
    "timm:mobilenetv2_100",
    "timm:mobilevit_xs",
)
"""One small model a family."""

FIRST_LIST = (
    *(f"efficientformer_{size}" for size in ("l1", "l3", "l7")),
    *(f"efficientformerv2_{size}" for size in ("s0", "s1", "s2", "l")),
    *(f"timm:efficientformer_{size}" for size in ("l1", "l3", "l7")),
    *(f"timm:efficientformerv2_{size}" for size in ("s0", "s1", "s2", "l")),
    *FAMILIES[2:],
)
"""Every model that must compile without leftovers."""

MORE_MOBILE = (
    "timm:mobilenetv3_small_100",
    "timm:mobilenetv4_conv_small",
    "timm:repvit_m0_9",
    "timm:fastvit_t8",
    "timm:edgenext_xx_small",
    "timm:ghostnet_100",
    "timm:mobileone_s0",
    "timm:tinynet_e",
    "timm:lcnet_050",
    "timm:mnasnet_small",
    "timm:efficientvit_b0",
    "timm:starnet_s1",
    "timm:mobilevitv2_050",
    "timm:convnext_atto",
)
"""timm's other small mobile models, in whatever kernels they get."""
