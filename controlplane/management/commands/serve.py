"""`manage.py serve`: the ASGI server, a Celery worker and beat under one supervisor."""

from django.core.management.base import BaseCommand, CommandError

from controlplane.host import Host, HostError, check_database, locked


class Command(BaseCommand):
    """Runs a Roundhouse host until SIGINT or SIGTERM."""

    help = "Serve: Uvicorn, a Celery worker and beat under one supervisor. Run `migrate` before."

    def handle(self, *_args: object, **_options: object) -> None:
        """Run until a signal; programs write their logs to standard error."""
        host = Host(say=lambda text: self.stderr.write(f"roundhouse: {text}"), log_to_files=False)
        try:
            with locked():
                check_database()
                with host.running():
                    while host.tick():
                        pass
        except HostError as error:
            raise CommandError(str(error)) from None
