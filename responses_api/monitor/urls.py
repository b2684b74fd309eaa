"""URLs under /monitor/."""

from django.urls import path

from responses_api.monitor import usage_page, views

app_name = "monitor"
urlpatterns = [
    path("empty-responses/", views.empty_responses, name="empty-responses"),
    path("usage/", usage_page.page, name="usage"),
    path("usage.csv", usage_page.table, name="usage-csv"),
]
