"""The models that represent each family."""

# name in torchvision.models: side of the image
TORCHVISION = {
    "alexnet": 224, "vgg11_bn": 224, "resnet18": 128, "squeezenet1_1": 128, "densenet121": 128, "inception_v3": 160,
    "googlenet": 128, "shufflenet_v2_x0_5": 128, "mobilenet_v2": 128, "mobilenet_v3_small": 128,
    "resnext50_32x4d": 128, "wide_resnet50_2": 128, "mnasnet0_5": 128, "efficientnet_b0": 128, "efficientnet_v2_s": 128,
    "regnet_x_400mf": 128, "regnet_y_400mf": 128, "vit_b_16": 224, "swin_t": 224, "swin_v2_t": 256, "maxvit_t": 224,
    "convnext_tiny": 128,
}

# name in timm: side of the image
TIMM = {
    "beit_base_patch16_224": 224, "repvgg_a0": 160, "coat_lite_tiny": 224, "convmixer_768_32": 128,
    "crossvit_9_240": 240, "davit_tiny": 224, "densenet121": 160, "dpn48b": 160, "efficientformer_l1": 224,
    "efficientnet_b0": 160, "efficientvit_m0": 224, "fasternet_t0": 160, "focalnet_tiny_srf": 224,
    "ghostnet_100": 160, "hgnetv2_b0": 160, "hrnet_w18_small": 160, "inception_v3": 160, "levit_128s": 224,
    "maxvit_rmlp_pico_rw_256": 256, "mixer_s32_224": 224, "mobilevit_xxs": 160, "nest_tiny": 224, "nfnet_l0": 160,
    "pvt_v2_b0": 224, "repghostnet_050": 160, "res2net50_26w_4s": 160, "resnet18": 160, "rexnet_100": 160,
    "legacy_seresnet18": 160, "shvit_s1": 224, "starnet_s1": 160, "swin_tiny_patch4_window7_224": 224,
    "tiny_vit_5m_224": 224, "tresnet_m": 160, "vgg11_bn": 96, "vit_tiny_patch16_224": 224, "volo_d1_224": 224,
    "xception41": 160,
}

# Further timm families, name in timm: side of the image
MORE_TIMM = {
    "botnet26t_256": 256, "halonet26t": 256, "lambda_resnet26t": 256, "gernet_s": 160, "mobileone_s0": 160,
    "cait_xxs24_224": 224, "coat_tiny": 224, "convit_tiny": 224, "convnext_atto": 128, "convnextv2_atto": 128,
    "darknetaa53": 128, "cspresnet50": 128, "cspnext_tiny": 128, "deit_tiny_distilled_patch16_224": 224,
    "deit3_small_patch16_224": 224, "densenetblur121d": 128, "dla46_c": 128, "edgenext_xx_small": 224,
    "efficientformerv2_s0": 224, "mixnet_s": 128, "tinynet_e": 106, "hardcorenas_a": 128, "spnasnet_100": 128,
    "efficientvim_m1": 224, "efficientvit_b0": 224, "efficientvit_l1": 224, "eva02_tiny_patch14_224": 224,
    "fastvit_t8": 224, "gcvit_xxtiny": 224, "ghostnetv2_100": 128, "hiera_tiny_224": 224, "iformer_t": 224,
    "inception_next_atto": 128, "inception_resnet_v2": 160, "inception_v4": 160, "lcnetv2_small": 128,
    "mambaout_femto": 128, "coatnet_rmlp_nano_rw_224": 224, "caformer_s18": 224, "convformer_s18": 224,
    "poolformer_s12": 224, "poolformerv2_s12": 224, "gmlp_ti16_224": 224, "resmlp_12_224": 224,
    "mobilenetv3_small_050": 128, "mobilenetv4_conv_small": 128, "mobilenetv4_hybrid_medium": 224,
    "lcnet_050": 128, "fbnetv3_b": 128, "mobilevitv2_050": 160, "mvitv2_tiny": 224, "nasnetalarge": 128,
    "nextvit_small": 224, "eca_nfnet_l0": 160, "dm_nfnet_f0": 128, "nf_resnet26": 128, "pit_ti_224": 224,
    "pnasnet5large": 128, "twins_svt_small": 224, "twins_pcpvt_small": 224, "rdnet_tiny": 224, "regnety_002": 128,
    "regnetz_b16": 128, "repvit_m1": 224, "resnest14d": 128, "resnetv2_18": 128, "resnetv2_50x1_bit": 128,
    "seresnext26d_32x4d": 128, "ecaresnet26t": 128, "resnetblur18": 128, "selecsls42": 128, "sequencer2d_s": 224,
    "skresnet18": 128, "swiftformer_xs": 224, "swin_s3_tiny_224": 224, "swinv2_tiny_window8_256": 256,
    "swinv2_cr_tiny_224": 224, "tnt_s_patch16_224": 224, "visformer_tiny": 224,
    "vit_relpos_small_patch16_224": 224, "vit_tiny_r_s16_p8_224": 224, "vit_small_patch16_dinov3": 224,
    "vit_dwee_patch16_reg1_gap_256": 256, "vitamin_small_224": 224, "ese_vovnet19b_slim": 128,
    "legacy_xception": 128, "xcit_nano_12_p16_224": 224, "samvit_base_patch16_224": 224, "lowformer_b0": 224,
}

# name in keras.applications: side of the image
KERAS = {
    "Xception": 96, "VGG16": 64, "VGG19": 64, "ResNet50": 96, "ResNet50V2": 96, "InceptionV3": 96,
    "InceptionResNetV2": 96, "MobileNet": 96, "MobileNetV2": 96, "MobileNetV3Small": 96, "MobileNetV3Large": 96,
    "DenseNet121": 96, "NASNetMobile": 96, "EfficientNetB0": 96, "EfficientNetV2B0": 96, "ConvNeXtTiny": 96,
}
TF_KERAS = {name: KERAS[name] for name in ["VGG16", "ResNet50", "MobileNetV2", "MobileNetV3Small", "EfficientNetB0"]}

GROUPS = {"torchvision": TORCHVISION, "timm": TIMM, "more-timm": MORE_TIMM, "keras": KERAS, "tf-keras": TF_KERAS}
