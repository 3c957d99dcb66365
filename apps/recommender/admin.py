"""What the administration shows of the recommender: a module for each group of pages."""

from apps.recommender import admin_models, admin_quality, admin_training  # noqa: F401
