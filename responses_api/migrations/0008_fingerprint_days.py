from django.db import migrations, models


class Migration(migrations.Migration):
    """Fingerprints get a day, by which they are forgotten. What was remembered so far is not worth keeping."""

    dependencies = [
        ("responses_api", "0007_usage_minutes"),
    ]

    operations = [
        migrations.DeleteModel(name="Fingerprint"),
        migrations.CreateModel(
            name="Fingerprint",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("digest", models.BigIntegerField()),
                ("session_id", models.BigIntegerField(help_text="The session, unless it is deleted.")),
                (
                    "day",
                    models.PositiveIntegerField(db_index=True, help_text="When the answer left, in days since 1970."),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("digest", "session_id"), name="one_fingerprint_per_session")
                ],
            },
        ),
    ]
