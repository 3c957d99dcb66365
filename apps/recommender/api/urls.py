from django.urls import path

from apps.recommender.api import views

urlpatterns = [
    path("personalized/", views.PersonalizedView.as_view(), name="recommendations-personalized"),
    path("similar/", views.SimilarView.as_view(), name="recommendations-similar"),
    path("status/", views.StatusView.as_view(), name="recommendations-status"),
    path("stats/", views.StatisticsView.as_view(), name="recommendations-stats"),
]
