"""What `make run` prepares: database, admin, API key, and the tiny engine with its profile."""

import json
import os
import secrets
import subprocess
import sys
from dataclasses import asdict, dataclass

from django.conf import settings
from django.contrib.auth import get_user_model

from controlplane import datadir
from controlplane.host import own_address
from endpoints import keys
from endpoints.models import ApiKey, ConfigProfile
from launcher.models import Engine, default_serve_kwargs

ADMIN = "admin"
KEY_NAME = "quickstart"
TINY = "tiny"
TINY_CONTEXT = 2048  # tokens


@dataclass(frozen=True)
class Facts:
    """What a person needs to use this Roundhouse; `quickstart.json` holds exactly these.

    `model` is None without an engine, `admin_password` empty once it was changed in the admin.
    """

    url: str
    admin_username: str
    admin_password: str
    api_key: str
    model: str | None

    def save(self, data: datadir.DataDir) -> None:
        """Write quickstart.json, readable by its owner only."""
        fresh = data.quickstart.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        with os.fdopen(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            json.dump(asdict(self), file, indent=2)
            file.write("\n")
        fresh.replace(data.quickstart)


def facts(*, model: str | None) -> Facts:
    """Return the facts: the password and the key of the last run if they still hold, new ones otherwise."""
    known = _read()
    address = own_address()
    shown_host = f"[{address}]" if ":" in address else address
    return Facts(
        url=f"http://{shown_host}:{settings.PORT}",
        admin_username=ADMIN,
        admin_password=_admin_password(known.get("admin_password")),
        api_key=_api_key(known.get("api_key", "")),
        model=model,
    )


def _read() -> dict[str, str]:
    try:
        known = json.loads(settings.DATA_DIR.quickstart.read_text())
    except (OSError, ValueError):
        return {}
    return {name: value for name, value in known.items() if isinstance(value, str)} if isinstance(known, dict) else {}


def _admin_password(known: str | None) -> str:
    users = get_user_model().objects
    admin = users.filter(username=ADMIN).first()
    if admin is None:
        admin = users.create_superuser(username=ADMIN, password=None)
    elif known is not None:
        # A password that was changed in the admin is somebody's own: it is neither reset nor known here.
        return known if admin.check_password(known) else ""
    password = secrets.token_urlsafe(15)
    admin.set_password(password)
    admin.save(update_fields=["password"])
    return password


def _api_key(known: str) -> str:
    row = ApiKey.objects.filter(name=KEY_NAME).first()
    if row is None:
        return ApiKey.issue(name=KEY_NAME, scope_gateway=True, scope_control=True)[1]
    if known and keys.digest(known) == row.digest:
        return known
    plain = row.renew()
    row.save(update_fields=["digest", "shown"])
    return plain


def tiny_engine() -> Engine:
    """Return the engine `tiny`, making its model, profile and row if they are not there; edits are kept."""
    folder = settings.DATA_DIR.models / TINY
    if not folder.exists():
        made = subprocess.run(  # noqa: S603  (our own argv)
            [sys.executable, "-m", "controlplane.tiny_model", str(folder)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            last = (made.stderr.strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"the tiny model could not be made: {last}")
    profile, _ = ConfigProfile.objects.get_or_create(
        name=TINY, defaults={"description": "A tiny random model: real answers, no meaning."}
    )
    engine, created = Engine.objects.get_or_create(
        name=TINY,
        defaults={
            "model": str(folder),
            "vllm_serve_kwargs": {
                **default_serve_kwargs(),
                "max_model_len": TINY_CONTEXT,
                "enforce_eager": True,
                "enable_auto_tool_choice": True,
                "tool_call_parser": "hermes",
            },
            "startup_timeout_seconds": 600,
        },
    )
    if created:
        engine.profiles.add(profile)
    return engine


def how_to_call(known: Facts) -> str:
    """Return what is printed when everything is ready: addresses, credentials, and two calls that work when pasted."""
    lines = [
        "",
        f"  Admin      {known.url}/admin/",
        f"  User       {known.admin_username}",
        f"  Password   {known.admin_password or 'as you set it'}",
        f"  API key    {known.api_key}",
        f"  Control    {known.url}/api/docs/",
    ]
    if known.model:
        lines += [
            "",
            "  curl:",
            "",
            f"curl {known.url}/v1/responses -H 'Authorization: Bearer {known.api_key}' \\",
            "  -H 'Content-Type: application/json' \\",
            f"""  -d '{{"model": "{known.model}", "input": "Say hello", "max_output_tokens": 32}}'""",
            "",
            "  Python (pip install openai):",
            "",
            "from openai import OpenAI",
            f'client = OpenAI(base_url="{known.url}/v1", api_key="{known.api_key}")',
            f'answer = client.responses.create(model="{known.model}", input="Say hello", max_output_tokens=32)',
            "print(answer.output_text)",
        ]
    return "\n".join(lines) + "\n"
