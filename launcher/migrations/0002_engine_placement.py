from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("launcher", "0001_initial"),
    ]

    operations = [
        migrations.AddField(
            model_name="engine",
            name="placement",
            field=models.JSONField(
                blank=True,
                default=dict,
                editable=False,
                help_text="Which nodes each of its ranks takes. Empty on CPU.",
            ),
        ),
        migrations.AlterField(
            model_name="engine",
            name="phase",
            field=models.CharField(blank=True, default="", editable=False, max_length=1000),
        ),
    ]
