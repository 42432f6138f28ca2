"""The packages, under the names that an installation gives them; all else is in pyproject.toml.

setuptools cannot look for packages whose names are not their folders'.
"""

from setuptools import find_namespace_packages, setup

FOLDERS = find_namespace_packages(
    include=["pipeline", "pipeline.*", "jobs", "jobs.*", "schemas"],
    exclude=["jobs.python", "*.__pycache__"],  # the former is `tamis` itself
)

setup(packages=["tamis", *(f"tamis.{folder}" for folder in FOLDERS)])
