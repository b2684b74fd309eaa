"""What the admin pages of every app share: safe saving, buttons that post, read-only history, badges."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.widgets import RelatedFieldWidgetWrapper
from django.core.exceptions import PermissionDenied
from django.db import models
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.shortcuts import redirect
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.timesince import timesince
from unfold.admin import ModelAdmin, TabularInline
from unfold.paginator import InfinitePaginator

from endpoints.forms import JSONObjectField


def badge(text: str, kind: str = "", hint: str = "") -> SafeString:
    """Return a coloured label; `kind` is success, warning, danger, info or "" (grey)."""
    return render_to_string("unfold/helpers/label.html", {"text": text, "type": kind, "label_title": hint})


def link(obj: models.Model | None, text: str = "") -> SafeString | str:
    """Return a link to a row's own page; a dash for no row."""
    if obj is None:
        return "-"
    url = reverse(f"admin:{obj._meta.app_label}_{obj._meta.model_name}_change", args=[quote(obj.pk)])
    return format_html('<a class="text-link" href="{}">{}</a>', url, text or str(obj))


def stamp(when: datetime | None) -> SafeString | str:
    """Return a time to the second, in UTC, on one line; a dash for never."""
    return "-" if when is None else format_html('<span class="rh-once">{}</span>', f"{when:%Y-%m-%d %H:%M:%S}")


def ago(when: datetime | None) -> SafeString | str:
    """Return how long ago something was, with the exact time for whoever points at it; a dash for never."""
    if when is None:
        return "-"
    return format_html(
        '<span class="rh-once" title="{}">{}</span>', f"{when:%Y-%m-%d %H:%M:%S} UTC", timesince(when, depth=1)
    )


class Page(ModelAdmin):
    """An admin page whose save writes the columns that were changed in the form and no other.

    Probes and the reconciler write to the same rows at any time; saving a whole row would put back what they replaced.
    """

    formfield_overrides: "Mapping[type[models.Field[Any, Any]], Mapping[str, Any]]" = {
        models.JSONField: {"form_class": JSONObjectField, "widget": JSONObjectField.widget},
    }
    warn_unsaved_form = True
    # Names of buttons on a row's page. Each posts to <row>/<name>/ and calls press_<name>(request, row).
    buttons: tuple[str, ...] = ()

    def save_model(self, request: HttpRequest, obj: Any, form: "forms.ModelForm[Any]", change: bool) -> None:
        """Insert a new row whole; of an old one save what was changed."""
        if not change:
            obj.save()
            return
        renamed: Mapping[str, str] = getattr(form, "columns", {})
        changed = {renamed.get(name, name) for name in form.changed_data}
        columns = {field.name for field in obj._meta.concrete_fields}
        stamp = {"updated_at"} & columns
        obj.save(update_fields=(changed & columns) | stamp)

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """Return the form's field, without the buttons that edit the rows it points to: those have their own pages."""
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and isinstance(field.widget, RelatedFieldWidgetWrapper):
            field.widget = field.widget.widget
        return field

    def get_urls(self) -> list[Any]:
        """Return the page's URLs, the buttons' first: the row's own URL would match them too."""
        options = self.model._meta
        urls: list[Any] = super().get_urls()
        return [
            path(
                f"<path:object_id>/{name}/",
                self.admin_site.admin_view(self.press),
                {"button": name},
                name=f"{options.app_label}_{options.model_name}_{name}",
            )
            for name in self.buttons
        ] + urls

    def press(self, request: HttpRequest, object_id: str, button: str) -> HttpResponse:
        """Do what a button says and show the row's page. A GET does nothing: browsers fetch links ahead."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, unquote(object_id))
        if row is None:
            gone: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
            return gone
        getattr(self, f"press_{button}")(request, row)
        return redirect(f"admin:{self.opts.app_label}_{self.opts.model_name}_change", quote(row.pk))

    def tell(self, request: HttpRequest, queryset: models.QuerySet[Any], changed: int, what: str) -> None:
        """Say how many of the selected rows an action changed."""
        total = queryset.count()
        noun = self.opts.verbose_name if total == 1 else self.opts.verbose_name_plural
        messages.success(request, f"{changed} of {total} {noun} {what}.")


class CountedDeletion:
    """Names how many rows go with the deleted ones, where Django would load and list every one of them."""

    def get_deleted_objects(
        self, objs: Any, request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Return what the confirmation page shows: the rows, the counts, no missing permission, nothing protected."""
        rows = list(objs)
        counts: dict[str, int] = {}
        for relation in rows[0]._meta.related_objects if rows else ():
            if getattr(relation, "on_delete", None) is models.CASCADE:
                found = relation.related_model._base_manager.filter(**{f"{relation.field.name}__in": rows})
                counts[str(relation.related_model._meta.verbose_name_plural)] = found.count()
        return [str(row) for row in rows], {name: count for name, count in counts.items() if count}, set(), []


class ReadOnly:
    """Shown to whoever may view it, changed by nobody."""

    def has_add_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: rows are written by Roundhouse alone."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: rows are written by Roundhouse alone."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: models.Model | None = None) -> bool:
        """Return False: history is not deleted by hand."""
        return False


class History(ReadOnly, ModelAdmin):
    """A table of any length: never counted, never sorted but by its index, searched by whole values."""

    paginator = InfinitePaginator
    show_full_result_count = False
    list_per_page = 50
    list_max_show_all = 0
    sortable_by = ()
    actions = None


class HistoryInline(ReadOnly, TabularInline):
    """The newest rows of a history on its owner's read-only page.

    Not for a page that is saved: rows that came since it was shown would fail its formset's validation.
    """

    extra = 0
    max_num = 0
    can_delete = False
