"""open_clip, imported beside any build of torchvision, for whoever imports a module by its name."""

from tamis.pipeline.encoders.torchvision_ops import ensure_torchvision

ensure_torchvision()

import open_clip  # noqa: E402, F401 - it needs what stands above
