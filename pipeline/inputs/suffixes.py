"""Endings of pictures, captions and facts, in tars and in folders; and columns that name such files."""

from __future__ import annotations

OF_JPEG = frozenset(("jfif", "jpe", "jfi", "pjpeg", "pjp"))
"""Of JPEG too: a result has them as `jpg`, by which trainers find them."""

PICTURES = ("jpg", "jpeg", "png", "webp", "gif", "bmp", "tif", "tiff", *sorted(OF_JPEG))
"""Of pictures that are read, the preferred one first."""

OTHER_PICTURES = frozenset(("avif", "heic", "heif", "jp2", "j2k", "jxl", "svg", "ico", "psd"))
"""Of pictures that are not read, to be named in a message: in a folder a dropped row each."""

RAW_PICTURES = frozenset(
    (
        *(
            "cr2",
            "cr3",
            "crw",
            "dng",
            "arw",
            "srf",
            "sr2",
            "nef",
            "nrw",
            "orf",
            "rw2",
            "raf",
            "pef",
        ),
        *(
            "srw",
            "x3f",
            "3fr",
            "fff",
            "iiq",
            "raw",
            "kdc",
            "dcr",
            "mrw",
            "erf",
            "mef",
            "mos",
            "rwl",
        ),
        *(
            "ppm",
            "pgm",
            "pbm",
            "pnm",
            "pam",
            "pfm",
            "tga",
            "pcx",
            "dds",
            "exr",
            "hdr",
            "dpx",
            "xcf",
        ),
        *("qoi", "sgi", "xbm", "xpm", "cur", "icns", "wmf", "emf", "eps", "ai", "dcm", "fits"),
        *("jxr", "wdp", "hdp", "jpx", "jpf", "jpm", "j2c", "jpc", "heics", "avifs", "hif", "svgz"),
    )
)
"""Of those that often lie beside a picture that is read, as a camera's raw ones do: in a folder they are left alone."""

ANY_PICTURE = OTHER_PICTURES.union(PICTURES)

CAPTION = "txt"
META = "json"

NAMES = (
    *("file_name", "image_path", "image_file", "filepath", "file_path", "filename"),
    *("image_name", "image_filename", "img_path", "img_name"),
    *("image", "img", "picture", "photo", "path", "file"),
)
"""Columns with the paths of pictures, in lower case, the preferred name first."""

UID = "tamis.uid"
"""Of the member that says a sample's uid where its json says another one, or none by that name."""
