import endpoints.secrets
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("launcher", "0002_engine_placement"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="engine",
            options={
                "ordering": ("name",),
                "permissions": (("launch_engine", "Can choose what an engine's process runs and sees"),),
            },
        ),
        migrations.AddField(
            model_name="engine",
            name="hf_token",
            field=endpoints.secrets.SecretField(
                blank=True,
                default="",
                help_text="A Hugging Face token for models that ask for one. Stored encrypted, never shown.",
            ),
        ),
        migrations.AddField(
            model_name="engine",
            name="launched",
            field=models.JSONField(
                blank=True,
                default=dict,
                editable=False,
                help_text="A digest of each setting that the last launch read.",
            ),
        ),
        migrations.AddField(
            model_name="engine",
            name="restart_of",
            field=models.PositiveIntegerField(
                blank=True, editable=False, help_text="The launch that is to be replaced by another one.", null=True
            ),
        ),
        migrations.AddField(
            model_name="engine",
            name="delete_asked",
            field=models.BooleanField(default=False, editable=False, help_text="It is deleted once it is stopped."),
        ),
    ]
