"""URLs under /monitor/."""

from django.urls import path

from responses_api.monitor import views

app_name = "monitor"
urlpatterns = [path("empty-responses/", views.empty_responses, name="empty-responses")]
