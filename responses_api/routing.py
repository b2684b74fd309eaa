"""Which path of /v1 is served by which consumer."""

from django.urls import re_path

from responses_api.consumers import ChatConsumer, ModelConsumer, ModelsConsumer, ResponsesConsumer, UnknownConsumer

http_urlpatterns = [
    re_path(r"^v1/responses/?$", ResponsesConsumer.as_asgi()),
    re_path(r"^v1/chat/completions/?$", ChatConsumer.as_asgi()),
    re_path(r"^v1/models/?$", ModelsConsumer.as_asgi()),
    re_path(r"^v1/models/(?P<name>.+)$", ModelConsumer.as_asgi()),
    re_path(r"^v1(?:/|$)", UnknownConsumer.as_asgi()),
]
